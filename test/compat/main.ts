import { debian13 } from './debian13.js';
import { fresh } from './fresh.js';
import { Impossible } from './impossible.js';
import { vm } from './vm/vm.js';

const kinds: Record<string, { about: string; run(parts: readonly string[]): Promise<boolean> }> = {
  fresh: {
    about:
      'clones what is committed onto a Debian 12 with nothing but git, Node and npm, and runs npm start, or the command that follows',
    run: fresh,
  },
  debian13: {
    about:
      'builds and tests on Debian 13 (DPDK 24.11, gcc 14), in a folder below build/; further words as of npm test',
    run: debian13,
  },
  vm: {
    about:
      "runs dpvsd in a virtual machine with QEMU's network cards under DPDK's drivers; further words: cards",
    run: vm,
  },
};

const usage = `npm run compat -- KIND [WORD...]
${Object.entries(kinds)
  .map(([name, { about }]) => `  ${name.padEnd(10)} ${about}`)
  .join('\n')}`;

/** @returns 0: passed, 1: failed, 2: a wrong word, 3: cannot be done on this machine */
async function main([name = '', ...parts]: string[]): Promise<number> {
  const kind = kinds[name];
  if (!kind) {
    console.error(usage);
    return name === '-h' || name === '--help' ? 0 : 2;
  }
  try {
    return (await kind.run(parts)) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof Impossible)) throw error;
    console.error(`compat: ${name} cannot be shown here: ${error.message}`);
    return 3;
  }
}

process.exitCode = await main(process.argv.slice(2));
