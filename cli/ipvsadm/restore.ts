import { type DpvsdClient, DpvsdError, type OperationInput } from '../../dpvsd/client.js';
import { UsageError } from '../usage.js';
import { Operations } from './changes.js';
import { type Change, parseCommandLine } from './command.js';

/** Operations per batch: about half a megabyte on the wire, some milliseconds of the master's time. */
const BATCH = 10_000;
/** Milliseconds after which a restore that is still running says how far it is. */
const PROGRESS_AFTER = 1000;
const PROGRESS_EVERY = 250;

/** A line of the input that is wrong, or that dpvsd refused. */
export class RestoreError extends Error {
  override readonly name = 'RestoreError';
  constructor(
    readonly line: number,
    /** UsageError or DpvsdError. */
    override readonly cause: Error,
    /** Lines 1 to this one are in force. */
    readonly applied: number,
  ) {
    super(`line ${line}: ${cause.message}`);
  }
}

interface NumberedChange {
  line: number;
  change: Change;
}

/** Splits a line into words: blanks separate, quotes keep together, a backslash keeps the next character, # begins a comment. */
export function splitWords(line: string): string[] {
  // Nearly every line has nothing to unquote.
  if (!/["'\\#]/.test(line)) return line.split(/\s+/).filter((word) => word !== '');
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let i = 0; i < line.length; i++) {
    const character = line[i]!;
    if (quote !== '') {
      if (character === quote) quote = '';
      else word += character === '\\' && quote === '"' ? (line[++i] ?? '') : character;
    } else if (character === '"' || character === "'") {
      quote = character;
      word ??= '';
    } else if (character === '\\') word = (word ?? '') + (line[++i] ?? '');
    else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (character === '#' && word === undefined) break;
    else word = (word ?? '') + character;
  }
  if (quote !== '') throw new UsageError(`a ${quote} is not closed`);
  if (word !== undefined) words.push(word);
  return words;
}

/** The lines of a stream of text. */
async function* linesOf(input: AsyncIterable<string | Buffer>): AsyncGenerator<string[]> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of input) {
    const lines = (
      rest + (typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true }))
    ).split('\n');
    rest = lines.pop() ?? '';
    yield lines;
  }
  if (rest !== '') yield [rest];
}

/** Reads every line before anything is sent, so that a mistyped line changes nothing. @throws RestoreError */
async function readChanges(input: AsyncIterable<string | Buffer>): Promise<NumberedChange[]> {
  const changes: NumberedChange[] = [];
  let line = 0;
  for await (const lines of linesOf(input)) {
    for (const text of lines) {
      line++;
      try {
        const change = changeOf(text);
        if (change) changes.push({ line, change });
      } catch (error) {
        if (error instanceof UsageError) throw new RestoreError(line, error, 0);
        throw error;
      }
    }
  }
  return changes;
}

function changeOf(text: string): Change | undefined {
  const words = splitWords(text);
  // Scripts of ipvsadm commands can be fed as they are.
  if (words[0] === 'ipvsadm' || words[0]?.endsWith('/ipvsadm')) words.shift();
  if (words.length === 0) return undefined;
  const { command } = parseCommandLine(words);
  if (command.kind !== 'change')
    throw new UsageError(`'${text.trim()}' changes nothing, it cannot be restored`);
  return command.change;
}

export interface Restored {
  lines: number;
  batches: number;
  generation: number;
}

/**
 * Applies the lines of `ipvsadm -S`, in batches of 10,000 that are in force as a whole or not at all.
 * @param progress is told how many lines of how many are done, when it takes long
 * @throws RestoreError
 */
export async function restore(
  client: DpvsdClient,
  input: AsyncIterable<string | Buffer>,
  progress: (done: number, of: number) => void = () => {},
): Promise<Restored> {
  const changes = await readChanges(input);
  const operations = new Operations(client);
  const restored: Restored = { lines: 0, batches: 0, generation: 0 };
  let applied = 0;
  let lines: number[] = [];
  let batch: OperationInput[] = [];

  const send = async () => {
    if (batch.length === 0) return;
    try {
      restored.generation = (await client.apply(batch)).generation;
    } catch (error) {
      if (!(error instanceof DpvsdError)) throw error;
      throw new RestoreError(lines[error.operation ?? 0] ?? lines[0] ?? 0, error, applied);
    }
    restored.batches++;
    restored.lines += batch.length;
    applied = lines.at(-1) ?? applied;
    lines = [];
    batch = [];
  };

  const started = performance.now();
  let shown = started + PROGRESS_AFTER - PROGRESS_EVERY;
  for (const { line, change } of changes) {
    if (operations.needsTables(change)) {
      await send();
      await operations.readTables();
    }
    try {
      batch.push(operations.operation(change));
    } catch (error) {
      if (error instanceof DpvsdError) throw new RestoreError(line, error, applied);
      throw error;
    }
    lines.push(line);
    if (batch.length < BATCH) continue;
    await send();
    if (performance.now() - shown >= PROGRESS_EVERY) {
      shown = performance.now();
      progress(restored.lines, changes.length);
    }
  }
  await send();
  return restored;
}
