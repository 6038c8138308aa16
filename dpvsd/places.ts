/** Where dpvsd listens unless it was told otherwise. */
export const DEFAULT_SOCKET = '/var/run/dpvs.ipc';

/** The control socket of the instance that the environment selects: `DPVS_IPC_FILE`, or the default. */
export function socketPath(environment: NodeJS.ProcessEnv = process.env): string {
  return environment.DPVS_IPC_FILE || DEFAULT_SOCKET;
}
