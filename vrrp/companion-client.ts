import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Log } from '../lib/log.js';
import type { CompanionAnswer, CompanionOrder, CompanionReport } from './companion-protocol.js';
import type { Notification } from './notifications.js';

/** Time between the death of a companion and the start of the next. */
const RESTART_DELAY = 1000;
/** The end waits this long for scripts and mail of the last notifications. */
const END_LIMIT = 6000;
/** How often it is asked whether it still answers, and how long it may take. */
const PING_INTERVAL = 5000;
const PING_LIMIT = 30_000;

type Configuration = Extract<CompanionOrder, { type: 'configure' }>;

/** The way to the companion process, which is started when it is first needed and again when it dies. */
export class Companion {
  readonly #log: Log;
  readonly #onReport: (report: CompanionReport) => void;
  #child: ChildProcess | undefined;
  #configuration: Configuration | undefined;
  #restart: NodeJS.Timeout | undefined;
  #pinger: NodeJS.Timeout | undefined;
  #unansweredSince: number | undefined;
  readonly #pings: { interval: number; limit: number };
  #ending = false;

  constructor(
    onReport: (report: CompanionReport) => void,
    log: Log,
    pings = { interval: PING_INTERVAL, limit: PING_LIMIT },
  ) {
    this.#onReport = onReport;
    this.#log = log;
    this.#pings = pings;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  configure(configuration: Configuration): void {
    this.#configuration = configuration;
    if (this.#child) this.#send(configuration);
    else this.#start();
  }

  /** @param wait the end waits for its scripts */
  notify(notification: Notification, wait = false): void {
    this.#send({ type: 'notify', notification, wait });
  }

  /** Lets the companion finish what was ordered, and waits for its end. */
  async end(): Promise<void> {
    this.#ending = true;
    clearTimeout(this.#restart);
    clearInterval(this.#pinger);
    const child = this.#child;
    if (!child) return;
    await new Promise<void>((resolve) => {
      const limit = setTimeout(() => child.kill('SIGKILL'), END_LIMIT);
      child.once('exit', () => {
        clearTimeout(limit);
        resolve();
      });
      this.#send({ type: 'end' });
    });
  }

  #send(order: CompanionOrder): void {
    const child = this.#child;
    if (child?.connected) child.send(order, undefined, undefined, () => {});
  }

  /** One that hangs tells trackers nothing any more, and notifies nobody: it is ended, and started again as one that died. */
  #ping(child: ChildProcess): void {
    const { limit } = this.#pings;
    const now = performance.now();
    if (this.#unansweredSince !== undefined && now - this.#unansweredSince >= limit) {
      this.#log.error(
        `companion of VRRP (pid ${child.pid}) has not answered for ${limit / 1000} seconds, it is replaced`,
      );
      child.kill('SIGKILL');
      return;
    }
    this.#unansweredSince ??= now;
    this.#send({ type: 'ping' });
  }

  #start(): void {
    const program = fileURLToPath(new URL('./companion.js', import.meta.url));
    const child = fork(program, [], {
      serialization: 'advanced',
      execArgv: ['--max-old-space-size=64', '--max-semi-space-size=1'],
    });
    this.#child = child;
    this.#unansweredSince = undefined;
    clearInterval(this.#pinger);
    this.#pinger = setInterval(() => this.#ping(child), this.#pings.interval);
    child.on('message', (report: CompanionAnswer) => {
      if (report.type !== 'pong') this.#onReport(report);
      else if (this.#child === child) this.#unansweredSince = undefined;
    });
    child.on('error', (error) => this.#log.error(`companion of VRRP: ${error.message}`));
    child.on('exit', (code, signal) => {
      if (this.#child === child) this.#child = undefined;
      clearInterval(this.#pinger);
      if (this.#ending) return;
      this.#log.error(`companion of VRRP ended (${signal ?? code}), starting it again`);
      this.#restart = setTimeout(() => this.#start(), RESTART_DELAY);
    });
    if (this.#configuration) this.#send(this.#configuration);
  }
}
