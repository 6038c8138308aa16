import type { LinkRow } from '../../dpvsd/generated/control.js';
import type { Counter } from './counters.js';

/** What a kernel twin did with one class of traffic, per second. */
export interface TwinRates {
  toKernel: number;
  /** The queue towards the kernel was full, or the device did not take them. */
  toKernelDropped: number;
  fromKernel: number;
  /** No buffer, or the worker's queue was full. */
  fromKernelDropped: number;
}

const classes = ['control', 'bulk'] as const;

/** Which named counters of a class, `twin.dpdk0.kni.control.NAME`, belong to which figure. */
const parts: Record<keyof TwinRates, string[]> = {
  toKernel: ['to-kernel'],
  toKernelDropped: ['to-kernel-dropped', 'ring-full'],
  fromKernel: ['from-kernel'],
  fromKernelDropped: ['from-kernel-dropped'],
};

/** @returns undefined for a port without a twin */
export function twinRates(
  { twin }: Pick<LinkRow, 'twin'>,
  before: readonly Counter[],
  after: readonly Counter[],
  seconds: number,
): Record<(typeof classes)[number], TwinRates> | undefined {
  if (twin === '') return undefined;
  const value = (counters: readonly Counter[], name: string) =>
    counters.find((counter) => counter.name === name)?.sum ?? 0;
  const rates = (kind: string): TwinRates => {
    const per = (names: string[]) => {
      const grown = names
        .map((name) => `twin.${twin}.${kind}.${name}`)
        .reduce((sum, name) => sum + value(after, name) - value(before, name), 0);
      return seconds > 0 ? Math.round(grown / seconds) : 0;
    };
    return {
      toKernel: per(parts.toKernel),
      toKernelDropped: per(parts.toKernelDropped),
      fromKernel: per(parts.fromKernel),
      fromKernelDropped: per(parts.fromKernelDropped),
    };
  };
  return { control: rates('control'), bulk: rates('bulk') };
}

/** A head and a line for each class, below the rates of the port. */
export function* twinRateLines(
  { twin }: Pick<LinkRow, 'twin'>,
  rates: NonNullable<ReturnType<typeof twinRates>>,
): Generator<string> {
  const line = (...words: (string | number)[]) =>
    `    ${words.map((word) => String(word).padEnd(18)).join('')}`;
  yield line(twin, 'to-kernel/pps', 'dropped/pps', 'from-kernel/pps', 'dropped/pps');
  for (const kind of classes) {
    const { toKernel, toKernelDropped, fromKernel, fromKernelDropped } = rates[kind];
    yield line(kind, toKernel, toKernelDropped, fromKernel, fromKernelDropped);
  }
}
