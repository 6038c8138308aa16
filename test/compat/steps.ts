import { runProgram } from '../runner/program.js';
import { root } from './impossible.js';

const minute = 60_000;

/** What it shows, and the command. */
export type Step = [name: string, command: readonly string[]];

/**
 * Runs one command after the other, and says how each went.
 * @param title stands before each step's name
 * @param wrap makes of a command the one that runs it in its place
 * @returns whether all of them ended with 0
 */
export async function runSteps(
  title: string,
  steps: readonly Step[],
  wrap: (command: readonly string[]) => string[],
): Promise<boolean> {
  let passed = true;
  for (const [name, command] of steps) {
    console.log(`==> ${title}: ${name}`);
    const [program = '', ...args] = wrap(command);
    const onLine = (line: string) => console.log(`    ${line}`);
    const ended = await runProgram(program, args, { cwd: root, limit: 20 * minute, onLine });
    const result =
      ended.code === 0 ? 'passed' : `failed (${ended.code ?? 'ended by a signal or the time limit'})`;
    console.log(`<== ${title}: ${name}: ${result}`);
    passed &&= ended.code === 0;
  }
  return passed;
}
