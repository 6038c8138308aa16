import { nearest } from '../lib/nearest.js';
import { UsageError } from './usage.js';

export interface OptionSpec {
  /** Long name without dashes; also what the parsed option is called. */
  long: string;
  /** One letter or digit. */
  short?: string;
  /** `optional` takes the next word unless that begins with a dash. */
  argument?: 'required' | 'optional';
  /** Further long names of the same option. */
  also?: readonly string[];
}

export interface GivenOption {
  long: string;
  /** As it was typed, for messages: -t, --tcp-service. */
  typed: string;
  value: string | undefined;
}

export interface Words {
  options: GivenOption[];
  /** Words that belong to no option, in order. */
  rest: string[];
}

/** Options by what can be typed, made once per table. */
export class OptionTable {
  readonly #short = new Map<string, OptionSpec>();
  readonly #long = new Map<string, OptionSpec>();

  constructor(specs: readonly OptionSpec[]) {
    for (const spec of specs) {
      if (spec.short) this.#short.set(spec.short, spec);
      for (const name of [spec.long, ...(spec.also ?? [])]) this.#long.set(name, spec);
    }
  }

  /**
   * Splits a command line the way popt and getopt do: short options may be bundled (-Ln), an argument may be attached (-w3, -w=3,
   * --weight=3) or follow as the next word, `--` ends the options, options and words may be mixed.
   * @throws UsageError on an unknown option, a missing argument, or one that is not wanted
   */
  parse(args: readonly string[]): Words {
    const options: GivenOption[] = [];
    const rest: string[] = [];
    let i = 0;
    const following = (spec: OptionSpec): string | undefined => {
      const next = args[i + 1];
      if (spec.argument === 'optional' && (next === undefined || next.startsWith('-'))) return undefined;
      i++;
      return next;
    };
    for (; i < args.length; i++) {
      const word = args[i]!;
      if (word === '--') {
        rest.push(...args.slice(i + 1));
        break;
      }
      if (word.startsWith('--')) options.push(this.#longOption(word, following));
      else if (word.startsWith('-') && word.length > 1) this.#bundle(word, following, options);
      else rest.push(word);
    }
    return { options, rest };
  }

  #longOption(word: string, following: (spec: OptionSpec) => string | undefined): GivenOption {
    const equals = word.indexOf('=');
    const typed = equals < 0 ? word : word.slice(0, equals);
    const spec = this.#long.get(typed.slice(2));
    if (!spec) {
      const meant = nearest(typed.slice(2), this.#long.keys());
      throw new UsageError(`unknown option ${typed}${meant ? `: did you mean --${meant}?` : ''}`);
    }
    if (equals >= 0 && !spec.argument) throw new UsageError(`${typed} takes no argument`);
    let value: string | undefined;
    if (equals >= 0) value = word.slice(equals + 1);
    else if (spec.argument) value = following(spec);
    return checked({ long: spec.long, typed, value }, spec);
  }

  #bundle(word: string, following: (spec: OptionSpec) => string | undefined, options: GivenOption[]): void {
    for (let at = 1; at < word.length; at++) {
      const typed = `-${word[at]}`;
      const spec = this.#short.get(word[at]!);
      if (!spec) throw new UsageError(`unknown option ${typed}${word.length > 2 ? ` in ${word}` : ''}`);
      if (!spec.argument) {
        options.push({ long: spec.long, typed, value: undefined });
        continue;
      }
      let attached = word.slice(at + 1);
      if (attached.startsWith('=')) attached = attached.slice(1);
      const value = attached === '' ? following(spec) : attached;
      options.push(checked({ long: spec.long, typed, value }, spec));
      return;
    }
  }
}

function checked(option: GivenOption, spec: OptionSpec): GivenOption {
  if (spec.argument === 'required' && option.value === undefined) {
    throw new UsageError(`${option.typed} needs an argument`);
  }
  return option;
}
