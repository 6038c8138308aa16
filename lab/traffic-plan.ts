import { fileURLToPath } from 'node:url';
import { type Running, until } from './command.js';
import type { Host } from './host.js';

/** Where a request goes. `kept`: all requests of this target over one connection, which has to last. */
export type Target =
  | { kind: 'http'; url: string; kept?: boolean }
  | { kind: 'udp'; address: string; port: number };

/** Requests at a steady pace: the targets take turns; each request is a new connection or socket, unless its target is `kept`. */
export interface TrafficPlan {
  targets: Target[];
  perSecond: number;
  seconds: number;
  /** Milliseconds that a request may take. */
  limit: number;
}

/** How one request ended: with a server's name, or with an error. */
export interface Answer {
  /** Index of the target. */
  target: number;
  server?: string;
  error?: string;
  /** When the request began, in milliseconds of Unix time, and how long it took. */
  began: number;
  ms: number;
}

/** What a number of requests came to. */
export interface Tally {
  requests: number;
  /** Requests by the server that answered. */
  byServer: Map<string, number>;
  /** Failed requests by error text. */
  errors: Map<string, number>;
  /** When the failed requests began, in milliseconds of Unix time. */
  failed: number[];
}

export function newTally(): Tally {
  return { requests: 0, byServer: new Map(), errors: new Map(), failed: [] };
}

export function failures(tally: Tally): number {
  let sum = 0;
  for (const count of tally.errors.values()) sum += count;
  return sum;
}

function tell(tally: Tally, { server, error, began }: Answer): void {
  const bump = (map: Map<string, number>, key: string) => map.set(key, (map.get(key) ?? 0) + 1);
  tally.requests++;
  if (server !== undefined) bump(tally.byServer, server);
  else {
    bump(tally.errors, error ?? 'unknown');
    // A lab that runs for days with a server down needs no more than the latest.
    tally.failed.push(began);
    if (tally.failed.length > 10_000) tally.failed.splice(0, 5000);
  }
}

/** Requests that a host sends while other things happen. */
export class Traffic {
  readonly #running: Running;
  /** Per target of the plan. */
  readonly tallies: Tally[];
  readonly total = newTally();

  constructor(host: Host, plan: TrafficPlan) {
    this.tallies = plan.targets.map(newTally);
    const program = fileURLToPath(new URL('./traffic.js', import.meta.url));
    this.#running = host.start([process.execPath, program, JSON.stringify(plan)], (line) => {
      const answer = JSON.parse(line) as Answer;
      tell(this.total, answer);
      const tally = this.tallies[answer.target];
      if (tally) tell(tally, answer);
    });
  }

  get ended(): string | undefined {
    return this.#running.ended;
  }

  /** Waits for the plan's end. @throws when the program itself failed */
  async finish(): Promise<void> {
    await this.#running.exited;
    if (this.#running.ended !== 'exit 0')
      throw new Error(`client program: ${this.#running.ended}: ${this.#running.output.slice(-2000)}`);
  }

  /** Sends no more requests, waits for those under way. */
  async stop(): Promise<void> {
    // Before its first request the program may not have come to taking signals.
    await until('a first request', () => this.total.requests > 0 || this.#running.ended !== undefined).catch(
      () => {},
    );
    this.#running.kill('SIGTERM');
    await this.finish();
  }
}
