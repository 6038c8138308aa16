/** What a screen needs of a terminal: process.stdout in life. */
export interface Terminal {
  columns: number;
  rows: number;
  write(text: string): unknown;
  on(event: 'resize', listener: () => void): unknown;
  off(event: 'resize', listener: () => void): unknown;
}

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

/**
 * Lines cut to the size of a terminal. Nothing may wrap, since a wrapped line shifts all that are below it.
 * @param body lines from the top; those that find no room are left out
 * @param foot one line that is always there, below the others
 */
export function fitted(body: readonly string[], foot: string, columns: number, rows: number): string[] {
  const room = Math.max(0, rows - 1);
  const cut = (line: string) =>
    line.length > columns ? `${line.slice(0, Math.max(0, columns - 1))}>` : line;
  return [...body.slice(0, room), foot].map(cut);
}

/**
 * A screen that is drawn over and over in the terminal's second buffer: nothing scrolls or flickers, and what was there before comes
 * back when it is closed, or when the process ends.
 */
export class Screen {
  /** Screens that are open now. */
  static open = 0;
  #last: { body: (columns: number, rows: number) => readonly string[]; foot: string } | undefined;
  readonly #terminal: Terminal;
  readonly #redraw = () => {
    if (this.#last) this.draw(this.#last.body, this.#last.foot);
  };
  readonly #leave = () => this.#terminal.write(LEAVE);

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    Screen.open++;
    terminal.write(ENTER);
    terminal.on('resize', this.#redraw);
    process.on('exit', this.#leave);
  }

  /** Draws lines, made for the size that the terminal has now and again when it changes. */
  draw(body: (columns: number, rows: number) => readonly string[], foot: string): void {
    this.#last = { body, foot };
    const { columns, rows } = this.#terminal;
    const lines = fitted(body(columns, rows - 1), foot, columns, rows);
    // One write, each line over the one that was there: half a screen is never seen.
    const text = lines.map((line) => line + CLEAR_LINE).join('\r\n');
    this.#terminal.write(HOME + text + CLEAR_BELOW);
  }

  close(): void {
    this.#terminal.off('resize', this.#redraw);
    process.off('exit', this.#leave);
    Screen.open--;
    this.#leave();
  }
}

/** Words in lines of at most so many columns; lines after the first begin with an indent. */
export function wrapped(words: readonly string[], gap: string, columns: number, indent: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of words) {
    const longer = line === '' || line === indent ? line + word : line + gap + word;
    if (longer.length <= columns || line === '' || line === indent) line = longer;
    else {
      lines.push(line);
      line = indent + word;
    }
  }
  return line === '' ? lines : [...lines, line];
}
