import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Outcome, single } from './outcome.js';
import { runProgram } from './program.js';

/** Linter and formatter of TypeScript; warnings count as failures. */
export async function runBiome(root: string): Promise<Outcome> {
  const ended = await runProgram(
    join(root, 'node_modules', '.bin', 'biome'),
    ['check', '--error-on-warnings', '.'],
    {
      cwd: root,
      limit: 120_000,
    },
  );
  return single('biome check', ended.code === 0 ? 'passed' : { output: ended.output.slice(-8000) });
}

/** Formatter of C, over the files that git knows. */
export async function runClangFormat(root: string): Promise<Outcome> {
  const name = 'clang-format';
  const listed = spawnSync('git', ['ls-files', '*.c', '*.h'], { cwd: root, encoding: 'utf8' });
  if (listed.status !== 0) return single(name, { reason: 'not a git work tree: cannot list the C files' });
  const files = listed.stdout.split('\n').filter((file) => file !== '' && existsSync(join(root, file)));
  if (files.length === 0) return single(name, { reason: 'no C files yet' });
  const ended = await runProgram('clang-format', ['--dry-run', '-Werror', ...files], {
    cwd: root,
    limit: 120_000,
  });
  if (ended.code === undefined && ended.output.includes('ENOENT'))
    return single(name, { reason: 'clang-format is not installed' });
  return single(name, ended.code === 0 ? 'passed' : { output: ended.output.slice(-8000) });
}
