/** What the doctor found: one sentence, and the command or the next step that mends it. */
export interface Finding {
  /** hugepages, memory, NUMA, CPUs, DPDK, drivers, devices, limits, kernel, ports */
  area: string;
  grade: 'ok' | 'warn' | 'bad';
  text: string;
  /** Empty when there is nothing to mend. */
  mend: string;
}

export const ok = (area: string, text: string): Finding => ({ area, grade: 'ok', text, mend: '' });
export const warn = (area: string, text: string, mend: string): Finding => ({
  area,
  grade: 'warn',
  text,
  mend,
});
export const bad = (area: string, text: string, mend: string): Finding => ({
  area,
  grade: 'bad',
  text,
  mend,
});
