import { appendFileSync } from 'node:fs';
import Mocha, { type Runner, type Test } from 'mocha';
import type { TestEvent } from './mocha.js';

/**
 * Mocha's reporter for `npm test`: one line per test on stdout for who watches, and one JSON object per test in the file
 * that DPVS_HA_TEST_EVENTS names for who counts. (Mocha's own JSON reporter writes at the end only, so that a run that
 * crashes or hangs would leave nothing.)
 */
export class EventReporter extends Mocha.reporters.Base {
  constructor(runner: Runner) {
    super(runner);
    const file = process.env.DPVS_HA_TEST_EVENTS;
    const tell = (event: TestEvent) => {
      if (file) appendFileSync(file, `${JSON.stringify(event)}\n`);
      const mark = { passed: 'ok', failed: 'FAILED', skipped: 'skip' }[event.result];
      const note =
        event.result === 'skipped'
          ? ` (${event.reason})`
          : event.result === 'passed' && event.ms >= 1000
            ? ` (${(event.ms / 1000).toFixed(1)} s)`
            : '';
      console.log(`${mark} ${event.name}${note}`);
    };
    const nameOf = (test: Pick<Test, 'titlePath'>) => test.titlePath().join(' > ');
    runner.on('pass', (test) => tell({ result: 'passed', name: nameOf(test), ms: test.duration ?? 0 }));
    runner.on('pending', (test) =>
      tell({ result: 'skipped', name: nameOf(test), reason: reasonOf(test) ?? 'no reason given' }),
    );
    // Failing hooks arrive here as well: `before all` of a group stands for all the tests that it kept from running.
    runner.on('fail', (test, error) => {
      const failure = error as Error & { actual?: unknown; expected?: unknown };
      tell({ result: 'failed', name: nameOf(test), output: failure.stack ?? String(error) });
    });
  }
}

/** The reason that `skipBecause` left on a test or on a group around it. */
function reasonOf(test: Test): string | undefined {
  let place: { skipReason?: string; parent?: unknown } | undefined = test as unknown as typeof place;
  while (place) {
    if (place.skipReason) return place.skipReason;
    place = place.parent as typeof place;
  }
  return undefined;
}
