import type { Diagnostics } from './diagnostics.js';

/** Longest line, in characters, that keepalived takes after substitution. */
export const LONGEST_LINE = 1023;

/** What built-in names need to know of the run. */
export interface BuiltIns {
  /** `${_INSTANCE}`: the configuration's id (`-i`, else the node's name). */
  configId: string;
  /** `${_PWD}`: folder of the file that is being read. */
  folder(): string;
}

/** A pseudo-random sequence of 31-bit numbers; seeded, so that `random_seed` makes a file reproducible. */
function* randomNumbers(seed: number): Generator<number, never> {
  // The additive generator of the C library (order 31, separation 3), so that the same seed gives the same file as keepalived's.
  const state = [seed === 0 ? 1 : seed | 0];
  for (let i = 1; i < 31; i++) {
    const value = Number((16807n * BigInt(state[i - 1] as number)) % 2147483647n);
    state.push(value < 0 ? value + 2147483647 : value);
  }
  for (let i = 31; i < 34; i++) state.push(state[i - 31] as number);
  for (let produced = 34; ; produced++) {
    const value = ((state[state.length - 31] as number) + (state[state.length - 3] as number)) | 0;
    state.push(value);
    if (state.length > 4096) state.splice(0, state.length - 64);
    // The first numbers depend too plainly on the seed and are thrown away.
    if (produced >= 344) yield value >>> 1;
  }
}

/** `$NAME=value` definitions and their use. */
export class Definitions {
  readonly #values = new Map<string, string[]>();
  readonly #builtIns: BuiltIns;
  readonly #diagnostics: Diagnostics;
  #random = randomNumbers((Date.now() / 1000) | 0);

  constructor(builtIns: BuiltIns, diagnostics: Diagnostics) {
    this.#builtIns = builtIns;
    this.#diagnostics = diagnostics;
  }

  /** `random_seed`: the sequence of `${_RANDOM}` starts anew. */
  seed(value: number): void {
    this.#random = randomNumbers(value);
  }

  /** @param lines the value, several lines for a multi-line definition */
  define(name: string, lines: string[]): void {
    this.#values.set(name, lines);
  }

  /** Takes a definition back (or puts an earlier one in again); for the variables of sequences. */
  restore(name: string, lines: string[] | undefined): void {
    if (lines) this.#values.set(name, lines);
    else this.#values.delete(name);
  }

  get(name: string): string[] | undefined {
    return this.#values.get(name);
  }

  /**
   * Replaces each `$NAME` and `${NAME}` once, from left to right. Names that are not defined stay as they are.
   * @returns the new text, whether anything was replaced, and further lines when a multi-line definition ended the line
   */
  substitute(text: string): { text: string; replaced: boolean; further: string[] } {
    let result = '';
    let at = 0;
    let replaced = false;
    let further: string[] = [];
    for (;;) {
      const dollar = text.indexOf('$', at);
      if (dollar < 0) break;
      const use =
        /^\$(?:\{([A-Za-z_][A-Za-z0-9_]*)((?:[ \t][^}]*)?)\}|([A-Za-z_][A-Za-z0-9_]*)(?=[ \t,)]|$))/.exec(
          text.slice(dollar),
        );
      const value = use && this.#valueOf((use[1] ?? use[3])!, (use[2] ?? '').trim());
      if (!use || !value || (value.length > 1 && dollar + use[0].length !== text.length)) {
        result += text.slice(at, dollar + 1);
        at = dollar + 1;
        continue;
      }
      result += text.slice(at, dollar) + value[0];
      at = dollar + use[0].length;
      replaced = true;
      further = value.slice(1);
    }
    result += text.slice(at);
    if (replaced && result.length > LONGEST_LINE) {
      this.#diagnostics.report(
        'error',
        `the line would be longer than ${LONGEST_LINE} characters after substitution: not substituted`,
      );
      return { text, replaced: false, further: [] };
    }
    return { text: result, replaced, further };
  }

  #valueOf(name: string, parameters: string): string[] | undefined {
    switch (name) {
      case '_PWD':
        return [this.#builtIns.folder()];
      case '_INSTANCE':
        return [this.#builtIns.configId];
      case '_HASH':
        return ['#'];
      case '_BANG':
        return ['!'];
      case '_ENV':
        if (parameters && process.env[parameters] === undefined) {
          this.#diagnostics.report('error', `there is no environment variable '${parameters}'`);
        }
        return [process.env[parameters] ?? ''];
      case '_RANDOM':
        return [String(this.#pick(parameters))];
      default:
        return this.#values.get(name);
    }
  }

  #pick(parameters: string): number {
    const bounds = parameters === '' ? [] : parameters.split(/\s+/).map(Number);
    const [low = 0, high = 32767] = bounds;
    if (bounds.length > 2 || bounds.some((bound) => !Number.isInteger(bound) || bound < 0)) {
      this.#diagnostics.report(
        'invalid-number',
        `_RANDOM takes a least and a greatest number, not '${parameters}'`,
      );
      return 0;
    }
    if (high < low) {
      this.#diagnostics.report('invalid-number', `_RANDOM: ${high} is less than ${low}; ${low} is used`);
      return low;
    }
    return low + (this.#random.next().value % (high - low + 1));
  }
}
