import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { build } from './build.js';
import { ensurePackages, type PackageSet } from './machine.js';

/** What each command needs of the machine, and which compiled program it then becomes. */
const commands: Record<string, { packages: PackageSet[]; program?: string }> = {
  start: { packages: ['build', 'lab'], program: 'lab/main.js' },
  lab: { packages: ['build', 'lab'], program: 'lab/main.js' },
  build: { packages: ['build'] },
  test: { packages: ['build', 'lab', 'test'], program: 'test/run.js' },
  bench: { packages: ['build', 'lab', 'test'], program: 'test/bench/main.js' },
  compat: { packages: ['build', 'lab'], program: 'test/compat/main.js' },
};

/**
 * Does what `npm run COMMAND` stands for, after the set-up that it needs.
 * @param root the project's root folder
 * @param argv the command's name, then its arguments
 * @returns the exit code
 */
export async function main(root: string, argv: string[]): Promise<number> {
  const [name = '', ...rest] = argv;
  if (name === 'format') {
    return (
      spawnSync('sh', ['-c', 'clang-format -i $(git ls-files "*.c" "*.h")'], { stdio: 'inherit', cwd: root })
        .status ?? 1
    );
  }
  const command = commands[name];
  if (!command) {
    console.error(`setup: unknown command '${name}', one of: ${Object.keys(commands).join(' ')} format`);
    return 2;
  }
  const missing = ensurePackages(command.packages);
  const built = build(root, missing);
  if (!built) return 1;
  if (!command.program) return 0;
  return await become(join(root, 'dist', command.program), rest);
}

/** Runs a compiled program in a process of its own, hands signals on to it, and returns its exit code. */
function become(program: string, args: string[]): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--enable-source-maps', program, ...args], { stdio: 'inherit' });
    // A terminal sends Ctrl-C to the whole group; the child cleans up, so this process must outlive it.
    process.on('SIGINT', () => {});
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
    child.on('error', (error) => {
      console.error(`setup: ${program} did not start: ${error.message}`);
      resolve(1);
    });
    child.on('exit', (code, signal) => {
      if (signal && signal !== 'SIGINT') console.error(`setup: ${program} was ended by ${signal}`);
      resolve(code ?? (signal === 'SIGINT' ? 130 : 1));
    });
  });
}
