import { type ChildProcess, spawn } from 'node:child_process';

/** How a command ended and what it printed. */
export interface Finished {
  /** Exit code; 128 + the signal's number when a signal ended it, as shells count. */
  code: number;
  stdout: string;
  stderr: string;
}

export interface CommandOptions {
  /** Text for the command's standard input (default: none). */
  input?: string;
  /** Milliseconds after which it is ended with SIGKILL (default 30,000). */
  limit?: number;
  env?: Record<string, string>;
}

/** A command that ended with another code than 0, told in one line with what it said. */
export class CommandFailed extends Error {
  constructor(
    readonly command: readonly string[],
    readonly finished: Finished,
  ) {
    const said = (finished.stderr.trim() || finished.stdout.trim()).slice(-2000);
    super(`${command.join(' ')}: exit ${finished.code}${said ? `: ${said}` : ''}`);
  }
}

const signalNumbers: Partial<Record<NodeJS.Signals, number>> = { SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };

/** Runs a command to its end; a code other than 0 is for the caller to judge. */
export function attempt(command: readonly string[], options: CommandOptions = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const [program = '', ...args] = command;
    const child = spawn(program, args, {
      env: { ...process.env, ...options.env },
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    // A command that ends without reading its input closes the pipe; its exit code tells the story.
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input);
    const limit = options.limit ?? 30_000;
    const timer = setTimeout(() => {
      stderr += `\n[ended after ${limit} ms]`;
      child.kill('SIGKILL');
    }, limit);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(new Error(`${program} did not start: ${error.message}`));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code: code ?? 128 + (signalNumbers[signal ?? 'SIGTERM'] ?? 0), stdout, stderr });
    });
  });
}

/**
 * Runs a command that has to succeed.
 * @returns what it printed on stdout
 * @throws {CommandFailed} when it exits with another code than 0
 */
export async function run(command: readonly string[], options: CommandOptions = {}): Promise<string> {
  const finished = await attempt(command, options);
  if (finished.code !== 0) throw new CommandFailed(command, finished);
  return finished.stdout;
}

/** A program that goes on running beside the lab. */
export class Running {
  readonly #child: ChildProcess;
  #output = '';
  #exit: string | undefined;
  readonly exited: Promise<void>;

  /** @param onLine called for each line that it prints on stdout */
  constructor(command: readonly string[], onLine?: (line: string) => void, env: Record<string, string> = {}) {
    const [program = '', ...args] = command;
    // Its own process group: Ctrl-C in the terminal is for the lab alone, which ends its programs in order.
    const child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.#child = child;
    let rest = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#keep(text);
      if (!onLine) return;
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) onLine(line);
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#keep(text));
    this.exited = new Promise((resolve) => {
      child.on('error', (error) => {
        this.#exit = `did not start: ${error.message}`;
        resolve();
      });
      child.on('close', (code, signal) => {
        this.#exit = signal ? `ended by ${signal}` : `exit ${code}`;
        resolve();
      });
    });
  }

  #keep(text: string): void {
    this.#output = (this.#output + text).slice(-64 * 1024);
  }

  /** The last 64 KiB of what it printed. */
  get output(): string {
    return this.#output;
  }

  /** How it ended (`exit 0`, `ended by SIGKILL`), undefined while it runs. */
  get ended(): string | undefined {
    return this.#exit;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  kill(signal: NodeJS.Signals): void {
    if (this.#exit === undefined) this.#child.kill(signal);
  }

  /** Ends it: SIGTERM, and SIGKILL when it is still there after `patience` milliseconds. */
  async stop(patience = 5000): Promise<void> {
    if (this.#exit !== undefined) return;
    this.kill('SIGTERM');
    const timer = setTimeout(() => this.kill('SIGKILL'), patience);
    await this.exited;
    clearTimeout(timer);
  }
}

/** Thrown by a condition that will not hold any more: no use waiting on. */
export class Hopeless extends Error {}

/**
 * Waits until a condition holds, looking every `every` milliseconds.
 * @returns what `condition` returned
 * @throws after `limit` milliseconds, naming `what` was waited for and the last error of `condition`; at once when
 *   `condition` throws {@link Hopeless}
 */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  { limit = 30_000, every = 50 }: { limit?: number; every?: number } = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const end = performance.now() + limit;
  let last = '';
  for (;;) {
    try {
      const found = await condition();
      if (found) return found as NonNullable<Exclude<T, false>>;
      last = '';
    } catch (error) {
      if (error instanceof Hopeless) throw error;
      last = `: ${(error as Error).message}`;
    }
    if (performance.now() > end) throw new Error(`waited ${limit} ms in vain for ${what}${last}`);
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}
