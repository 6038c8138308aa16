import { nearest } from '../../lib/nearest.js';
import { items, type Model } from './items.js';
import { type Problem, problem } from './problem.js';
import type { Body, Group, Item, Section } from './schema.js';
import { readStatements, type Statement } from './text.js';

/** A dpvs.conf after reading. With an error among `problems` the model is incomplete: good for looking at, not for running. */
export interface Conf {
  model: Model;
  problems: Problem[];
  /**
   * Lines of what the file sets, by path, for instance `netif_defs/device dpdk0/rx/queue_number`. What is not in here has its
   * default.
   */
  lines: Map<string, number>;
  /** Items that the file sets and that change nothing: path, line and the reason. */
  without: { path: string; line: number; why: string }[];
}

type Values = Record<string, unknown>;

/** The item's values when nobody sets any. */
function defaults(body: Body): Values {
  return Object.fromEntries(
    Object.entries(body).map(([keyword, entry]) => {
      if (entry.form === 'section') return [keyword, defaults(entry.body)];
      if (entry.form === 'group') return [keyword, []];
      return [keyword, Array.isArray(entry.fallback) ? [...entry.fallback] : entry.fallback];
    }),
  );
}

/** Where in the table a keyword would be right, as `netif_defs { device NAME {`. */
function home(keyword: string, body: Body, above: string[] = []): string[] | undefined {
  for (const [word, entry] of Object.entries(body)) {
    if (word === keyword) return above;
    if (entry.form === 'item') continue;
    const found = home(keyword, entry.body, [...above, entry.form === 'group' ? `${word} NAME` : word]);
    if (found) return found;
  }
  return undefined;
}

class Reader {
  readonly problems: Problem[] = [];
  readonly lines = new Map<string, number>();
  readonly without: Conf['without'] = [];

  block(statements: Statement[], body: Body, values: Values, above: string): void {
    for (const statement of statements) {
      const keyword = statement.words[0] ?? '';
      if (keyword === '') continue;
      const entry = Object.hasOwn(body, keyword) ? body[keyword] : undefined;
      const path = above === '' ? keyword : `${above}/${keyword}`;
      if (!entry) this.#unknown(statement, keyword, body, above);
      else if (entry.form === 'item') this.#item(statement, keyword, entry, values, path);
      else this.#block(statement, keyword, entry, values, path);
    }
  }

  #error(line: number, what: string, why: string, instead: string): void {
    this.problems.push(problem('error', line, what, why, instead));
  }

  #unknown(statement: Statement, keyword: string, body: Body, above: string): void {
    const here = above === '' ? 'the top of the file' : `block ${above.split('/').at(-1)}`;
    const elsewhere = home(keyword, items as Body);
    const near = nearest(keyword, Object.keys(body));
    const instead = elsewhere
      ? elsewhere.length === 0
        ? 'it belongs to the top of the file, outside of any block'
        : `it belongs into ${elsewhere.map((word) => `${word} {`).join(' ')}`
      : near
        ? `did you mean "${near}"?`
        : `write one of: ${Object.keys(body).join(' ')}`;
    this.#error(
      statement.line,
      `"${keyword}"`,
      `${here} has no such ${statement.block ? 'block' : 'item'}`,
      instead,
    );
  }

  #item(statement: Statement, keyword: string, entry: Item<unknown>, values: Values, path: string): void {
    const { line } = statement;
    if (statement.block) {
      this.#error(
        line,
        `${keyword} {`,
        'it is an item, not a block',
        `write for instance "${keyword} ${entry.kind.example}"`,
      );
      return;
    }
    const written = statement.words.slice(1);
    const read = entry.kind.read(written);
    if ('why' in read) {
      this.#error(
        line,
        statement.words.join(' '),
        read.why,
        `it takes ${entry.kind.takes}: write for instance "${keyword} ${entry.kind.example}"`,
      );
      return;
    }
    const earlier = this.lines.get(path);
    if (entry.repeats) {
      (values[keyword] as unknown[]).push(...(read.value as unknown[]));
    } else {
      if (earlier !== undefined) {
        this.problems.push(
          problem(
            'warning',
            line,
            `${keyword} again`,
            `line ${earlier} sets it already and loses`,
            'keep one of the two',
          ),
        );
      }
      values[keyword] = read.value;
    }
    this.lines.set(path, line);
    if (entry.without !== undefined) this.without.push({ path, line, why: entry.without });
  }

  #block(
    statement: Statement,
    keyword: string,
    entry: Section<Body> | Group<Body>,
    values: Values,
    path: string,
  ): void {
    const { line } = statement;
    const names = statement.words.slice(1);
    const wanted = entry.form === 'group' ? 1 : 0;
    if (!statement.block) {
      this.#error(
        line,
        statement.words.join(' '),
        'it is a block',
        `write "${[keyword, ...(wanted ? ['NAME'] : [])].join(' ')} { ... }"`,
      );
      return;
    }
    if (names.length > wanted) {
      const extra = names.slice(wanted).join(' ');
      this.#error(
        line,
        statement.words.join(' '),
        `"${extra}" is left over`,
        `write "${[keyword, ...names.slice(0, wanted)].join(' ')} {"`,
      );
    }
    if (entry.form === 'section') {
      if (!this.lines.has(path)) this.lines.set(path, line);
      this.block(statement.block, entry.body, values[keyword] as Values, path);
      return;
    }
    const name = names[0];
    if (name === undefined) {
      this.#error(
        line,
        `${keyword} {`,
        'its name is missing',
        `write for instance "${keyword} ${keyword}0 {"`,
      );
      return;
    }
    const full = `${path} ${name}`;
    const earlier = this.lines.get(full);
    if (earlier !== undefined) {
      this.#error(
        line,
        `${keyword} ${name}`,
        `line ${earlier} has a ${keyword} of that name already`,
        'give it a name of its own',
      );
    }
    if (!/^[\w.:-]{1,31}$/.test(name)) {
      this.#error(
        line,
        `${keyword} ${name}`,
        'that is no name',
        'use up to 31 letters, digits, "_", "-", "." and ":"',
      );
    }
    const made: Values = { name, ...defaults(entry.body) };
    this.lines.set(full, line);
    this.block(statement.block, entry.body, made, full);
    (values[keyword] as Values[]).push(made);
  }
}

/**
 * Reads the text of a dpvs.conf. Never throws; every fault is in `problems`, each with its line. What concerns several blocks at once
 * (queues, CPUs, memory) is the planner's to judge.
 */
export function parseConf(text: string): Conf {
  const reader = new Reader();
  const values = defaults(items as Body);
  reader.block(readStatements(text, reader.problems), items as Body, values, '');
  reader.problems.sort((a, b) => a.line - b.line);
  return {
    // `values` was made from the same table as the type.
    model: values as unknown as Model,
    problems: reader.problems,
    lines: reader.lines,
    without: reader.without,
  };
}
