import type { Script } from '../model/script.js';

/** Builds the text of a configuration, indented by blocks. */
export class Writer {
  readonly #lines: string[] = [];
  #depth = 0;

  /** A line of a keyword and its arguments; arguments that are undefined are left out. */
  line(keyword: string, ...args: (string | number | undefined)[]): void {
    const words = args.filter((arg) => arg !== undefined).map(String);
    this.#lines.push(`${'    '.repeat(this.#depth)}${[keyword, ...words].join(' ')}`);
  }

  /** The line if the value is there. */
  optional<V>(keyword: string, value: V | undefined, shown: (value: V) => string | number = String): void {
    if (value !== undefined) this.line(keyword, shown(value));
  }

  /** A keyword that says everything by being there. */
  flag(keyword: string, on: boolean | undefined): void {
    if (on) this.line(keyword);
  }

  bool(keyword: string, value: boolean | undefined): void {
    if (value !== undefined) this.line(keyword, value ? 'true' : 'false');
  }

  block(head: string, body: () => void): void {
    this.line(`${head} {`);
    this.#depth++;
    body();
    this.#depth--;
    this.line('}');
  }

  /** A block with one entry on each line; nothing when there are no entries. */
  list(head: string, entries: readonly string[] | undefined): void {
    if (!entries || entries.length === 0) return;
    this.block(head, () => {
      for (const entry of entries) this.line(entry);
    });
  }

  get text(): string {
    return `${this.#lines.join('\n')}\n`;
  }
}

/** A word for the standard tokenizer: quoted when it has to be. */
export function quote(word: string): string {
  return /^[^\s"#!{}$@~\\']+$/.test(word) && !word.startsWith('include') ? word : `"${word}"`;
}

/** Milliseconds as seconds, at most six decimal places. */
export function inSeconds(milliseconds: number): string {
  const micro = Math.round(milliseconds * 1000);
  const whole = Math.floor(micro / 1_000_000);
  const fraction = String(micro % 1_000_000)
    .padStart(6, '0')
    .replace(/0+$/, '');
  return fraction ? `${whole}.${fraction}` : String(whole);
}

/** A character that means something to one of the passes over a command. */
const SPECIAL = /[^A-Za-z0-9_./:=,+%@^*?()|<>;&~[\]-]/g;

/** Escapes what is special, as octal, so that it comes out of both passes as it was. */
export function escaped(text: string): string {
  return text.replace(SPECIAL, (character) =>
    character.charCodeAt(0) > 255 ? character : `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );
}

/** A command in double quotes, then its user and group. */
export function command(script: Script): string {
  const [shell, option, text] = script.argv;
  // A redirection was given to the shell when it was read; it is written as it was.
  const redirected =
    shell === '/bin/sh' && option === '-c' && script.argv.length === 3 && text?.startsWith('<');
  const words = redirected
    ? [text as string]
    : script.argv.map((word) => (word === '' ? "''" : escaped(word)));
  const owner =
    script.user === undefined ? '' : ` ${script.user}${script.group === undefined ? '' : ` ${script.group}`}`;
  return `"${words.join(' ')}"${owner}`;
}

/** `2` or `2 reverse`. */
export function weight(value: number, reverse: boolean | undefined): string {
  return `${value}${reverse === undefined ? '' : reverse ? ' reverse' : ' noreverse'}`;
}
