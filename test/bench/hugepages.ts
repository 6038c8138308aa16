import { readFileSync, writeFileSync } from 'node:fs';

const folder = '/sys/kernel/mm/hugepages/hugepages-2048kB';
const read = (name: string): number => {
  try {
    return Number(readFileSync(`${folder}/${name}`, 'utf8'));
  } catch {
    return 0;
  }
};

/**
 * Makes sure that so many megabytes of 2 MB pages are free, where that is allowed.
 * @returns whether they are, and what gives back what was added
 */
export function borrowHugepages(megabytes: number): { there: boolean; giveBack: () => void } {
  const pages = Math.ceil(megabytes / 2);
  const before = read('nr_hugepages');
  const missing = pages - read('free_hugepages');
  if (missing <= 0) return { there: true, giveBack: () => {} };
  try {
    writeFileSync(`${folder}/nr_hugepages`, String(before + missing));
  } catch {
    return { there: false, giveBack: () => {} };
  }
  return {
    there: read('free_hugepages') >= pages,
    giveBack: () => {
      try {
        writeFileSync(`${folder}/nr_hugepages`, String(before));
      } catch {
        // A machine that took them away meanwhile has done it already.
      }
    },
  };
}
