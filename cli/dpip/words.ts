import { nearest } from '../../lib/nearest.js';
import { addressBytes, decimal, type Prefix, parsePrefix } from '../address.js';
import { UsageError } from '../usage.js';

export type Family = 'inet' | 'inet6';

/** Options that may stand anywhere on a dpip command line. */
export interface Globals {
  verbose: boolean;
  family: Family | undefined;
  stats: boolean;
  /** Seconds between two looks at the counters; undefined: one look. */
  interval: number | undefined;
  /** How many times; undefined: until interrupted. */
  count: number | undefined;
  color: boolean;
  json: boolean;
}

/** What follows the command: `KEYWORD VALUE`, flags, and words of their own, as the operator wrote them. */
export class Arguments {
  readonly #values = new Map<string, string>();
  readonly #flags = new Set<string>();
  /** Words that are neither keyword nor value nor flag. */
  readonly rest: string[] = [];

  /**
   * @param keywords that take a value
   * @param flags that take none
   * @param most how many other words there may be
   */
  constructor(
    words: readonly string[],
    keywords: readonly string[],
    flags: readonly string[] = [],
    most = 1,
  ) {
    for (let i = 0; i < words.length; i++) {
      const word = words[i]!;
      if (keywords.includes(word)) {
        const value = words[++i];
        if (value === undefined) throw new UsageError(`'${word}' needs a value`);
        if (this.#values.has(word)) throw new UsageError(`'${word}' is there twice`);
        this.#values.set(word, value);
      } else if (flags.includes(word)) this.#flags.add(word);
      else if (this.rest.length < most) this.rest.push(word);
      else {
        const meant = nearest(word, [...keywords, ...flags]);
        throw new UsageError(`unexpected '${word}'${meant ? `: did you mean '${meant}'?` : ''}`);
      }
    }
  }

  has(flag: string): boolean {
    return this.#flags.has(flag);
  }

  text(keyword: string): string | undefined {
    return this.#values.get(keyword);
  }

  /** The device of `dev`, which must be there. */
  device(): string {
    const device = this.#values.get('dev');
    if (device === undefined) throw new UsageError("no device: 'dev DEVICE' is missing");
    return device;
  }

  /** A number from 0 to `most`, or undefined when the keyword is not there. */
  number(keyword: string, most = 0xffff_ffff): number | undefined {
    const text = this.#values.get(keyword);
    if (text === undefined) return undefined;
    const number = decimal(text, 0, most);
    if (number === undefined)
      throw new UsageError(`${keyword} '${text}': a number from 0 to ${most} is wanted`);
    return number;
  }

  /** An address, or undefined when the keyword is not there. */
  address(keyword: string): Buffer | undefined {
    const text = this.#values.get(keyword);
    if (text === undefined) return undefined;
    const address = addressBytes(text);
    if (!address) throw new UsageError(`${keyword} '${text}' is no address`);
    return address;
  }

  /** The one word of its own, read as `ADDRESS[/LENGTH]`. */
  prefix(what: string): Prefix {
    const [word] = this.rest;
    if (word === undefined) throw new UsageError(`${what} is missing`);
    const prefix = parsePrefix(word);
    if (!prefix) throw new UsageError(`'${word}' is no ${what} (ADDRESS/LENGTH)`);
    return prefix;
  }
}

export function familyOf(address: Uint8Array): Family {
  return address.length === 16 ? 'inet6' : 'inet';
}

/** @throws UsageError when -4 or -6 and an address disagree */
export function checkFamily(family: Family | undefined, address: Uint8Array): void {
  if (family && address.length > 0 && familyOf(address) !== family) {
    throw new UsageError(
      `the address is ${familyOf(address)}, and ${family === 'inet' ? '-4' : '-6'} was asked for`,
    );
  }
}
