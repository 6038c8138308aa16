import { type DpvsdClient, DpvsdError, EncodedBatch } from '../../dpvsd/client.js';
import { UsageError } from '../usage.js';
import { Operations } from './changes.js';
import { type Change, parseCommandLine } from './command.js';
import { QuickLineReader } from './quick-line.js';

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

/** Splits a line into words: blanks separate, quotes keep together, a backslash keeps the next character, # begins a comment. */
export function splitWords(line: string): string[] {
  // Nearly every line has nothing to unquote.
  if (!/["'\\#\t\r]/.test(line)) {
    const words = line.split(' ');
    return words.includes('') ? words.filter((word) => word !== '') : words;
  }
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

/** Pieces of a stream that consist of whole lines, each of which ends with a newline. */
async function* wholeLines(input: AsyncIterable<string | Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of input) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    const piece = rest.length > 0 ? Buffer.concat([rest, bytes]) : bytes;
    const end = piece.lastIndexOf(NEWLINE) + 1;
    if (end > 0) yield piece.subarray(0, end);
    rest = piece.subarray(end);
  }
  if (rest.length > 0) yield Buffer.concat([rest, Buffer.of(NEWLINE)]);
}

const NEWLINE = 10;

/** Operations that are in force together, with the lines that they came from. */
interface Step {
  batch: EncodedBatch;
  lines: number[];
}

/** What a whole input asks for. Encoded at once where that is possible, so that long inputs take little memory. */
interface Plan {
  steps: Step[];
  /** From the first edit on: edits need to know what the lines before them made. */
  rest: { line: number; change: Change }[];
}

/** Reads every line before anything is sent, so that a mistyped line changes nothing. @throws RestoreError */
async function readPlan(input: AsyncIterable<string | Buffer>): Promise<Plan> {
  const plan: Plan = { steps: [], rest: [] };
  const quick = new QuickLineReader();
  let step: Step = { batch: new EncodedBatch(), lines: [] };
  let line = 0;
  const nextStep = () => {
    if (step.batch.count > 0) plan.steps.push(step);
    step = { batch: new EncodedBatch(), lines: [] };
  };
  for await (const piece of wholeLines(input)) {
    for (let at = 0; at < piece.length; ) {
      line++;
      const next = plan.rest.length > 0 ? -1 : quick.read(piece, at, step.batch);
      if (next >= 0) {
        at = next;
        step.lines.push(line);
      } else {
        const end = piece.indexOf(NEWLINE, at);
        const text = piece.toString('utf8', at, end);
        const change = changeAt(line, line === 1 ? text.replace(/^\ufeff/, '') : text);
        at = end + 1;
        if (!change) continue;
        if (plan.rest.length > 0 || change.kind !== 'operation') {
          plan.rest.push({ line, change });
          continue;
        }
        step.batch.add(change.operation);
        step.lines.push(line);
      }
      if (step.batch.count === BATCH) nextStep();
    }
  }
  nextStep();
  return plan;
}

function changeAt(line: number, text: string): Change | undefined {
  try {
    return changeOf(text);
  } catch (error) {
    if (error instanceof UsageError) throw new RestoreError(line, error, 0);
    throw error;
  }
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
  const { steps, rest } = await readPlan(input);
  const total = steps.reduce((sum, { lines }) => sum + lines.length, rest.length);
  const restored: Restored = { lines: 0, batches: 0, generation: 0 };
  let applied = 0;
  const started = performance.now();
  let shown = started + PROGRESS_AFTER - PROGRESS_EVERY;

  const send = async ({ batch, lines }: Step) => {
    try {
      restored.generation = (await client.apply(batch)).generation;
    } catch (error) {
      if (!(error instanceof DpvsdError)) throw error;
      throw new RestoreError(lines[error.operation ?? 0] ?? lines[0] ?? 0, error, applied);
    }
    restored.batches++;
    restored.lines += lines.length;
    applied = lines.at(-1) ?? applied;
    if (performance.now() - shown < PROGRESS_EVERY) return;
    shown = performance.now();
    progress(restored.lines, total);
  };

  for (const step of steps) await send(step);
  if (rest.length === 0) return restored;
  const operations = new Operations(client);
  await operations.readTables();
  for (let from = 0; from < rest.length; from += BATCH) {
    const step: Step = { batch: new EncodedBatch(), lines: [] };
    for (const { line, change } of rest.slice(from, from + BATCH)) {
      try {
        step.batch.add(operations.operation(change));
      } catch (error) {
        if (error instanceof DpvsdError) throw new RestoreError(line, error, applied);
        throw error;
      }
      step.lines.push(line);
    }
    await send(step);
  }
  return restored;
}
