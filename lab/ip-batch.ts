import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { Hopeless, until } from './command.js';

/** ip(8) in a namespace, kept running: it does what it is told within a fraction of a millisecond. */
export class IpBatch {
  readonly #child: ChildProcessWithoutNullStreams;
  #said = '';

  constructor(namespace: string) {
    this.#child = spawn('ip', ['-n', namespace, '-o', '-batch', '-']);
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#said += text;
      });
    this.#child.stdin.on('error', () => {});
  }

  /** Carries out lines, in order; they have been when the promise is fulfilled. @throws what it complained of */
  async say(...lines: string[]): Promise<void> {
    await this.#ask(lines, 'lo');
  }

  /** MTU and MAC address of a device: `mtu 1500 02:00:00:00:00:01`. */
  async show(device: string): Promise<string> {
    const text = await this.#ask([], device);
    return `${/ (mtu \d+) /.exec(text)?.[1]} ${/link\/ether (\S+) /.exec(text)?.[1]}`;
  }

  /** What it says of a device is the sign that it has come so far. */
  async #ask(lines: readonly string[], device: string): Promise<string> {
    this.#said = '';
    this.#child.stdin.write([...lines, `link show dev ${device}`, ''].join('\n'));
    const text = await until(
      `ip: ${lines.join('; ')}`,
      () => {
        if (this.#child.exitCode !== null) throw new Hopeless(`ip ended: ${this.#said}`);
        return new RegExp(`^\\d+: ${device}:? .*\\n`, 'm').test(this.#said) ? this.#said : undefined;
      },
      { every: 1 },
    );
    if (/error|Error|RTNETLINK|Command failed/.test(text)) throw new Error(text);
    return text;
  }

  close(): void {
    this.#child.stdin.end();
  }
}
