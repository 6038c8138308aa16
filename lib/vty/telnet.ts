import { createConnection } from 'node:net';
import { Dialogue } from './dialogue.js';
import { complaint, unreachable, type Vty, VtyError } from './vty.js';

const IAC = 255;
const SB = 250;
const SE = 240;

/** Takes the telnet commands (RFC 854) out of a stream; none of them needs an answer from a program. */
function telnetFilter(): (data: Buffer) => Buffer {
  let skip = 0;
  let subnegotiation = false;
  let pending = false;
  return (data) => {
    const kept: number[] = [];
    for (const byte of data) {
      if (pending) {
        pending = false;
        if (byte === IAC && !subnegotiation) kept.push(byte);
        else if (byte === SB) subnegotiation = true;
        else if (byte === SE) subnegotiation = false;
        else if (byte >= 251 && byte <= 254) skip = 1;
      } else if (byte === IAC) pending = true;
      else if (skip > 0) skip--;
      // A carriage return may be followed by a zero byte.
      else if (!subnegotiation && byte !== 0) kept.push(byte);
    }
    return Buffer.from(kept);
  };
}

/** Longest line that may be a prompt, and longest refusal, bytes. */
const PROMPT_LENGTH = 1024;

/** A prompt at the end of what has arrived. */
const PROMPT = /(?:^|[\r\n])([^\r\n]*?)([>#]|[Pp]assword:) $/;

/**
 * The telnet VTY of quagga and FRR: password, `enable`, password, and no paging.
 * @param password of the first question; absent: the VTY must not ask
 */
export async function openTelnetVty(options: {
  host: string;
  port: number;
  password?: string | undefined;
  enablePassword?: string | undefined;
  limit?: number;
}): Promise<Vty> {
  const { host, port, password, enablePassword, limit } = options;
  const where = `${host}:${port}`;
  const socket = createConnection({ host, port });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', (error) => reject(unreachable(where, error)));
  });
  const dialogue = new Dialogue(socket, where, {
    filter: telnetFilter(),
    ...(limit === undefined ? {} : { limit }),
  });
  /** Says a line and waits for the next prompt. */
  const say = (line: string | undefined) =>
    dialogue.exchange(line === undefined ? undefined : `${line}\r\n`, (data) => {
      // Only what ends in a prompt is worth a look at the whole.
      const tail = data.toString('latin1', Math.max(0, data.length - PROMPT_LENGTH));
      if (!PROMPT.test(tail) && data.length > PROMPT_LENGTH) return undefined;
      const text = data.toString('utf8');
      if (/Vty password is not set/.test(text))
        throw new VtyError(
          'password',
          `${where}: the daemon has no VTY password, and so lets nobody in: set 'password' there`,
        );
      if (/Bad passwords|bad enable passwords/.test(text))
        throw new VtyError('password', `${where} refuses the password`);
      const prompt = PROMPT.exec(text);
      if (!prompt) return undefined;
      const kind =
        prompt[2] === '>'
          ? ('view' as const)
          : prompt[2] === '#'
            ? ('enabled' as const)
            : ('password' as const);
      return { answer: { text: text.slice(0, prompt.index), kind }, taken: data.length };
    });
  const secret = async (value: string | undefined, name: string): Promise<'view' | 'enabled'> => {
    if (value === undefined)
      throw new VtyError('password', `${where} asks for a password: set '${name}' in ospf_bridge`);
    const { kind } = await say(value);
    if (kind === 'password')
      throw new VtyError('password', `${where} refuses the password: compare '${name}' with the daemon's`);
    return kind;
  };
  const ask = async (command: string): Promise<string> => {
    const { text } = await say(command);
    // The VTY repeats what was typed.
    const answer = text.replace(/\r/g, '').replace(/^[^\n]*\n?/, '');
    const words = complaint(answer);
    if (words !== undefined) throw new VtyError('command', `${where}: '${command}': ${words}`);
    return answer;
  };
  try {
    let { kind } = await say(undefined);
    if (kind === 'password') kind = await secret(password, 'password');
    if (kind === 'view') {
      ({ kind } = await say('enable'));
      if (kind === 'password') kind = await secret(enablePassword ?? password, 'enable_password');
      if (kind !== 'enabled') throw new VtyError('password', `${where}: 'enable' is refused`);
    }
    await ask('terminal length 0');
  } catch (error) {
    dialogue.close();
    throw error;
  }
  return { ask, close: () => dialogue.close() };
}
