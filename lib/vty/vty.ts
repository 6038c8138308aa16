/** Why a dialogue with a routing daemon failed. Scripts and `status --json` see the code. */
export type VtyFault =
  | 'unreachable'
  | 'permission'
  | 'password'
  | 'timeout'
  | 'closed'
  | 'command'
  | 'foreign';

/** A dialogue that failed: what, where, and what to do about it. */
export class VtyError extends Error {
  override name = 'VtyError';
  constructor(
    readonly fault: VtyFault,
    message: string,
  ) {
    super(message);
  }
}

/** A command line of a routing daemon. Commands are asked one after the other. */
export interface Vty {
  /** @returns the daemon's words; @throws VtyError, with `command` when the daemon did not like the command */
  ask(command: string): Promise<string>;
  close(): void;
}

/** How long a daemon may take for an answer, milliseconds. A big database on a busy machine takes a second. */
export const ANSWER_LIMIT = 5000;

/** Longest answer that is read: 10,000 external LSAs in full are 4 MB. */
export const ANSWER_LENGTH = 64 << 20;

/** FRR and quagga report many mistakes in words alone, with the exit code of success. */
export function complaint(answer: string): string | undefined {
  return /^% .*/m.exec(answer)?.[0];
}

/** What an error of connect means to an operator. */
export function unreachable(where: string, error: NodeJS.ErrnoException): VtyError {
  if (error.code === 'EACCES' || error.code === 'EPERM')
    return new VtyError(
      'permission',
      `no permission for ${where}: run as root or as a member of the daemon's VTY group (FRR: frrvty, quagga: quaggavty)`,
    );
  if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED')
    return new VtyError('unreachable', `nothing listens at ${where}: is the routing daemon running?`);
  // Unix sockets alone: as many connections as the daemon lets wait are waiting.
  if (error.code === 'EAGAIN')
    return new VtyError('timeout', `${where} takes no more connections: the routing daemon hangs`);
  if (error.code === 'ECONNRESET' || error.code === 'EPIPE')
    return new VtyError('closed', `${where} closed the connection`);
  return new VtyError('unreachable', `${where}: ${error.message}`);
}
