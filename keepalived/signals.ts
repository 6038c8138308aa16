import type { DumpKind } from './sidecar.js';

/** Numbers of the signals that operators and scripts send, by the names of `--signum`. */
export const signalNumbers = {
  STOP: 15,
  RELOAD: 1,
  DATA: 10,
  STATS: 12,
  /** SIGRTMAX-1 */
  STATS_CLEAR: 63,
  /** SIGRTMIN+2 of the C library, whose SIGRTMIN is 34 */
  JSON: 36,
  /** SIGRTMAX; only logged */
  TDUMP: 64,
} as const;

/** What the front door does on signals. */
export interface SignalHandlers {
  reload(): void;
  stop(signal: string): void;
  dump(kind: DumpKind): void;
}

/** Node knows no names for real-time signals; the event loop below it takes any number. */
interface RawSignal {
  unref(): void;
  onsignal: (number: number) => void;
  start(number: number): number;
}

/**
 * Takes over all signals of the front door.
 * @returns real-time signals that could not be taken over (none, as far as Node still lets us)
 */
export function handleSignals(handlers: SignalHandlers, ignoreInterrupt: boolean): number[] {
  process.on('SIGHUP', () => handlers.reload());
  process.on('SIGTERM', () => handlers.stop('SIGTERM'));
  process.on('SIGINT', () => {
    if (!ignoreInterrupt) handlers.stop('SIGINT');
  });
  process.on('SIGUSR1', () => handlers.dump('data'));
  process.on('SIGUSR2', () => handlers.dump('stats'));
  const missing: number[] = [];
  const numbers: [number, () => void][] = [
    [signalNumbers.JSON, () => handlers.dump('json')],
    [signalNumbers.STATS_CLEAR, () => handlers.dump('stats-clear')],
    [signalNumbers.TDUMP, () => {}],
  ];
  // The only way to a signal without a name; it is deprecated without a successor, which is no news for the operator.
  const { noDeprecation } = process as { noDeprecation?: boolean };
  (process as { noDeprecation?: boolean }).noDeprecation = true;
  for (const [number, action] of numbers) {
    try {
      const binding = (
        process as unknown as { binding(name: string): { Signal: new () => RawSignal } }
      ).binding('signal_wrap');
      const signal = new binding.Signal();
      signal.unref();
      signal.onsignal = action;
      if (signal.start(number) !== 0) missing.push(number);
      else kept.push(signal);
    } catch {
      missing.push(number);
    }
  }
  if (noDeprecation === undefined) delete (process as { noDeprecation?: boolean }).noDeprecation;
  else (process as { noDeprecation?: boolean }).noDeprecation = noDeprecation;
  return missing;
}

/** The garbage collector would take a handle that nobody refers to. */
const kept: RawSignal[] = [];
