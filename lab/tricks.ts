import type { Interruption } from './interruption.js';
import { Screen } from './screen.js';
import { failures, type Traffic } from './traffic-plan.js';

/** What a key does to a lab. */
export interface Trick {
  key: string;
  does: string;
  act: () => Promise<unknown>;
}

export interface TrickShow {
  tricks: readonly Trick[];
  /** What to try in a second terminal. */
  hint: string;
  traffic: Traffic;
  /** Who is active, where traffic goes ...: the first part of each second's line. */
  state: () => Promise<string>;
}

const LINES_KEPT = 1000;
/** Columns of the state. */
const STATE = 32;

/**
 * Shows each second what became of the requests, and lets keys break things, until q or Ctrl-C. On a terminal the keys stay in view
 * above the latest lines; elsewhere the lines follow each other.
 */
export async function showTricks(
  { tricks, hint, traffic, state }: TrickShow,
  end: Interruption,
): Promise<void> {
  const head = [...tricks.map(({ key, does }) => `  ${key}  ${does}`), '  q  end', hint];
  const live = process.stdout.isTTY === true;
  const screen = live ? new Screen(process.stdout) : undefined;
  const lines: string[] = [];
  const say = (line: string) => {
    lines.push(line);
    if (lines.length > LINES_KEPT) lines.shift();
    if (!screen) console.log(line);
    else {
      const body = (_columns: number, rows: number) => {
        const room = Math.max(1, rows - head.length - 2);
        return [...head, '', ...lines.slice(-room)];
      };
      screen.draw(body, 'q or Ctrl-C ends the lab.');
    }
  };
  if (!screen) for (const line of head) console.log(line);

  process.stdin.setRawMode?.(true);
  process.stdin.setEncoding('utf8').on('data', (keys: string) => {
    for (const key of keys) {
      if (key === 'q' || key === '\x03') return end.raise();
      const trick = tricks.find((one) => one.key === key);
      if (!trick) continue;
      say(`--- ${trick.does}`);
      trick.act().catch((error: unknown) => say(`--- ${(error as Error).message.split('\n')[0]}`));
    }
  });

  let [requests, failed] = [0, 0];
  try {
    while (!end.happened) {
      const now = { requests: traffic.total.requests, failed: failures(traffic.total) };
      say(
        `${(await state()).padEnd(STATE)}  ${now.requests - requests} requests, ${now.failed - failed} failed (${now.failed} in all)`,
      );
      [requests, failed] = [now.requests, now.failed];
      await end.pause(1000);
    }
  } finally {
    process.stdin.setRawMode?.(false);
    process.stdin.pause();
    screen?.close();
    // The terminal shows again what it showed before: the end of the story belongs there too.
    if (screen) for (const line of lines.slice(-3)) console.log(line);
    await traffic.stop().catch(() => {});
  }
}
