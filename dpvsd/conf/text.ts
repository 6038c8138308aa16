import { type Problem, problem } from './problem.js';

/** A line of the file: its words, and what stands between its braces when it opens a block. */
export interface Statement {
  words: string[];
  line: number;
  block?: Statement[];
}

type Token = { kind: 'word' | 'open' | 'close' | 'end'; text: string; line: number };

/**
 * Cuts one line into words and braces. `!` and `#` at the start of a word begin a comment that runs to the end of the line; `<...>` is
 * a comment wherever it stands (so `<init> daemon` reads `daemon`); double quotes keep blanks and comment signs together.
 */
function cut(text: string, line: number, problems: Problem[]): Token[] {
  const tokens: Token[] = [];
  let word: string | undefined;
  const finish = () => {
    if (word !== undefined) tokens.push({ kind: 'word', text: word, line });
    word = undefined;
  };
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === '<') {
      finish();
      const end = text.indexOf('>', i);
      if (end < 0) {
        problems.push(
          problem(
            'error',
            line,
            "'<' without '>'",
            'a <comment> ends on the line it begins on',
            "close it with '>'",
          ),
        );
        break;
      }
      i = end;
    } else if (c === '"') {
      const end = text.indexOf('"', i + 1);
      if (end < 0) {
        problems.push(
          problem(
            'error',
            line,
            'a quote is not closed',
            'a quoted value ends on its own line',
            "add the second '\"'",
          ),
        );
        break;
      }
      word = (word ?? '') + text.slice(i + 1, end);
      i = end;
    } else if (c === '{' || c === '}') {
      finish();
      tokens.push({ kind: c === '{' ? 'open' : 'close', text: c, line });
    } else if (/\s/.test(c)) {
      finish();
    } else if (word === undefined && (c === '!' || c === '#')) {
      break;
    } else {
      word = (word ?? '') + c;
    }
  }
  finish();
  tokens.push({ kind: 'end', text: '', line });
  return tokens;
}

/**
 * Reads the text of a dpvs.conf into statements. The end of a line ends a statement; a block's brace may stand on the keyword's line or
 * alone on the next. Never throws: what is wrong goes to `problems`, and reading goes on behind it.
 */
export function readStatements(text: string, problems: Problem[]): Statement[] {
  const root: Statement[] = [];
  const open: { statement: Statement; list: Statement[] }[] = [];
  const list = () => open.at(-1)?.list ?? root;
  let current: Statement | undefined;
  // A statement that a brace on the next line would turn into a block.
  let last: Statement | undefined;
  const finish = () => {
    if (current) {
      list().push(current);
      last = current;
    }
    current = undefined;
  };

  const lines = text.split(/\r?\n/);
  for (const [index, content] of lines.entries()) {
    for (const token of cut(content, index + 1, problems)) {
      if (token.kind === 'word') {
        current ??= { words: [], line: token.line };
        current.words.push(token.text);
      } else if (token.kind === 'end') {
        finish();
      } else if (token.kind === 'open') {
        finish();
        if (!last || last.block) {
          problems.push(
            problem(
              'error',
              token.line,
              "'{' without a name",
              'a block begins with its keyword',
              'write for instance "netif_defs {"',
            ),
          );
          last = { words: [], line: token.line };
        }
        last.block = [];
        open.push({ statement: last, list: last.block });
        last = undefined;
      } else {
        finish();
        last = undefined;
        if (!open.pop()) {
          problems.push(
            problem(
              'error',
              token.line,
              "'}' without '{'",
              'no block is open here',
              'remove it, or add the missing "{" above',
            ),
          );
        }
      }
    }
  }
  for (const { statement } of open) {
    problems.push(
      problem(
        'error',
        statement.line,
        `the block "${statement.words.join(' ')} {" is not closed`,
        'the file ends before its "}"',
        'add the missing "}"',
      ),
    );
  }
  return root;
}
