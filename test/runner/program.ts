import { spawn } from 'node:child_process';

/** How a program ended. */
export interface Ended {
  /** Exit code; undefined when a signal or the time limit ended it, or when it did not start. */
  code: number | undefined;
  /** Both output streams, in the order in which they arrived; bounded (the middle of a very long output is left out). */
  output: string;
  /** Set when the time limit ended the program. */
  timedOut: boolean;
}

const keep = 256 * 1024;

/**
 * Runs a program to its end and collects what it prints.
 * @param limit milliseconds after which it is ended (SIGTERM, five seconds later SIGKILL)
 * @param onLine called for each complete line of either stream, as it comes
 */
export function runProgram(
  command: string,
  args: string[],
  options: {
    cwd: string;
    limit: number;
    env?: Record<string, string>;
    onLine?: (line: string) => void;
  },
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let head = '';
    let tail = '';
    let timedOut = false;
    let hardEnd: NodeJS.Timeout | undefined;
    const end = setTimeout(() => {
      timedOut = true;
      child.kill('SIGTERM');
      hardEnd = setTimeout(() => child.kill('SIGKILL'), 5000);
    }, options.limit);
    // Ctrl-C reaches the children of a terminal by themselves; SIGTERM to the runner alone must be handed on.
    const handOn = () => child.kill('SIGTERM');
    process.once('SIGTERM', handOn);

    const take = () => {
      let rest = '';
      return (chunk: string) => {
        if (head.length < keep) head += chunk;
        else tail = (tail + chunk).slice(-keep);
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) options.onLine?.(line);
      };
    };
    child.stdout.setEncoding('utf8').on('data', take());
    child.stderr.setEncoding('utf8').on('data', take());
    const done = (code: number | undefined, extra = '') => {
      clearTimeout(end);
      clearTimeout(hardEnd);
      process.removeListener('SIGTERM', handOn);
      const output = tail.length >= keep ? `${head}\n[...]\n${tail}` : head + tail;
      resolve({ code, output: output + extra, timedOut });
    };
    child.on('error', (error) => done(undefined, `${command} did not start: ${error.message}\n`));
    child.on('close', (code, signal) =>
      done(code ?? undefined, signal ? `\n[ended by ${signal}${timedOut ? ': time limit' : ''}]\n` : ''),
    );
  });
}
