import { createConnection } from 'node:net';
import { Dialogue } from './dialogue.js';
import { unreachable, type Vty, VtyError } from './vty.js';

/** The line that ends an answer: a code and a space. Codes below 1000 mean that all went well, from 8000 on that it did not. */
const LAST = /(?:^|\n)(\d{4}) ([^\n]*)\n$/;
const FAILED = 8000;
/** Longest last line, bytes. */
const LINE_LENGTH = 1024;

/**
 * BIRD's control socket: a line asks; lines with four digits answer, continued by lines that begin with a blank.
 * @param path `/run/bird/bird.ctl`
 */
export async function openBird(path: string, options: { limit?: number } = {}): Promise<Vty> {
  const socket = createConnection(path);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', (error) => reject(unreachable(path, error)));
  });
  const dialogue = new Dialogue(socket, path, options);
  const exchange = (command: string | undefined): Promise<string> =>
    dialogue
      .exchange<string | VtyError>(command === undefined ? undefined : `${command}\n`, (data) => {
        // Only what ends in such a line is worth a look at the whole.
        if (data.length > LINE_LENGTH && !LAST.test(data.toString('latin1', data.length - LINE_LENGTH)))
          return undefined;
        const text = data.toString('utf8');
        const last = LAST.exec(text);
        if (!last) {
          if (text.length > 5 && !/^\d{4}[ -]/.test(text))
            throw new VtyError('foreign', `${path} does not speak as BIRD does`);
          return undefined;
        }
        if (Number(last[1]) >= FAILED)
          return { answer: new VtyError('command', `${path}: '${command}': ${last[2]}`), taken: data.length };
        return { answer: text.replace(/^\d{4}[ -]/gm, ''), taken: data.length };
      })
      .then((answer) => {
        if (answer instanceof VtyError) throw answer;
        return answer;
      });
  try {
    await exchange(undefined);
  } catch (error) {
    dialogue.close();
    throw error;
  }
  return { ask: exchange, close: () => dialogue.close() };
}
