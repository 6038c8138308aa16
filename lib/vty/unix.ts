import { createConnection } from 'node:net';
import { Dialogue } from './dialogue.js';
import { complaint, unreachable, type Vty, VtyError } from './vty.js';

/** Exit codes of the VTY (lib/command.h of FRR and quagga). */
const SUCCESS = 0;
const WARNING = 1;
const UNKNOWN = 2;
const INCOMPLETE = 4;

/**
 * The Unix VTY of FRR's and quagga's daemons: a command and a zero byte; the answer is text, three zero bytes and an exit code.
 * @param path `/run/frr/ospfd.vty`
 */
export async function openUnixVty(path: string, options: { limit?: number } = {}): Promise<Vty> {
  const socket = createConnection(path);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', (error) => reject(unreachable(path, error)));
  });
  const dialogue = new Dialogue(socket, path, options);
  const ask = async (command: string): Promise<string> => {
    const { text, code } = await dialogue.exchange(`${command}\0`, (data, seen) => {
      // The three bytes behind the first zero may come later.
      const end = data.indexOf(0, Math.max(0, seen - 4));
      if (end < 0 || data.length < end + 4) return undefined;
      if (data[end + 1] !== 0 || data[end + 2] !== 0)
        throw new VtyError('foreign', `${path} does not speak as a VTY of FRR or quagga does`);
      return { answer: { text: data.toString('utf8', 0, end), code: data[end + 3]! }, taken: end + 4 };
    });
    const words = complaint(text);
    if (code === SUCCESS && words === undefined) return text;
    const what =
      words ??
      (code === UNKNOWN
        ? 'unknown command: another version of the daemon?'
        : code === INCOMPLETE
          ? 'incomplete command'
          : code === WARNING
            ? text.trim() || 'a warning without words'
            : `exit code ${code}`);
    throw new VtyError('command', `${path}: '${command}': ${what}`);
  };
  try {
    // Without it, a daemon answers every other command with "unknown".
    await ask('enable');
  } catch (error) {
    dialogue.close();
    throw error;
  }
  return { ask, close: () => dialogue.close() };
}
