import { type ChildProcess, fork } from 'node:child_process';
import type { Clock, Timer } from '../lib/clock.js';
import type { Log } from '../lib/log.js';
import type { LogTarget } from './logging.js';
import { replace } from './predecessor.js';
import {
  type DumpKind,
  LOG_ENVIRONMENT,
  type Order,
  type Report,
  type SidecarName,
  type SidecarNews,
} from './sidecar.js';

/** Pauses before a sidecar is started again, milliseconds; a sidecar that ran long enough begins anew with the first. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 30_000;
const RAN_LONG = 60_000;
/** How often a sidecar is asked whether it still answers, milliseconds. */
const PING_INTERVAL = 2_000;
/** How long a dump may take. */
const DUMP_LIMIT = 5_000;

export interface SupervisorOptions<Part> {
  name: SidecarName;
  /** As log lines call it: `VRRP`, `Healthcheck`. */
  title: string;
  /** Compiled main module. */
  program: string;
  log: Log;
  logTarget: LogTarget;
  clock: Clock;
  /** How long it may take to answer before it is replaced, milliseconds. */
  patience: number;
  /** A sidecar that ends is not started again; the whole suite ends. */
  dontRespawn: boolean;
  /** Called when the sidecar has taken over a generation. `error`: why not. */
  onApplied(generation: number, error: string | undefined): void;
  onStarted(pid: number): void;
  /** It has been given its model: the moment to tell it what others said. */
  onReady?(): void;
  /** It has something to tell others. */
  onNews?(news: SidecarNews): void;
  /** With `dontRespawn`: it has ended. */
  onLost(code: number): void;
  /** Options of its Node. */
  nodeOptions?: readonly string[];
  /** The part is plain enough for JSON (no bigint) and may be big. */
  json?: boolean;
  /** What a front door before this one left running: it ends when the first process here is ready, so that the work does not pause. */
  predecessor?: number | undefined;
  /** How to start the process; replaced in tests. */
  start?: (program: string, env: NodeJS.ProcessEnv, nodeOptions: readonly string[]) => ChildProcess;
  part?: Part;
}

/**
 * One sidecar: started, given its part of the model, watched, started again after a pause when it ends or stops answering, and
 * stopped at last.
 */
export class Supervisor<Part> {
  readonly name: SidecarName;
  readonly #options: SupervisorOptions<Part>;
  #child: ChildProcess | undefined;
  #part: Part | undefined;
  #generation = 0;
  #ready = false;
  #replaced = false;
  #stopping = false;
  #pause = FIRST_PAUSE;
  #startedAt = 0;
  #restart: Timer | undefined;
  #pinger: Timer | undefined;
  #pings = 0;
  #unansweredSince: number | undefined;
  #nextId = 1;
  #dumps = new Map<number, (text: string) => void>();
  #onExit: (() => void)[] = [];

  constructor(options: SupervisorOptions<Part>) {
    this.#options = options;
    this.name = options.name;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Hands over a model; starts the process if it does not run. */
  apply(part: Part, generation: number): void {
    const reload = this.#generation > 0;
    this.#part = part;
    this.#generation = generation;
    if (this.#child) {
      if (this.#ready) this.#sendModel(part, reload);
    } else if (!this.#restart) {
      this.#start();
    }
  }

  /** Asks for one of the dumps. @returns empty when there is no answer in time */
  dump(kind: DumpKind): Promise<string> {
    if (!this.#child || !this.#ready) return Promise.resolve('');
    const id = this.#nextId++;
    return new Promise((resolve) => {
      const limit = this.#options.clock.after(DUMP_LIMIT, () => {
        this.#dumps.delete(id);
        this.#options.log.warning(`${this.#options.title} child process did not answer the dump request`);
        resolve('');
      });
      this.#dumps.set(id, (text) => {
        limit.cancel();
        this.#dumps.delete(id);
        resolve(text);
      });
      this.#send({ type: 'dump', id, kind });
    });
  }

  /** Passes on what another sidecar said; one that is not ready yet hears it by `onReady`. */
  tell(news: SidecarNews): void {
    if (this.#ready) this.#send({ type: 'news', news });
  }

  /** Ends the sidecar: orderly, and by force after `limit` milliseconds. */
  async stop(limit: number): Promise<void> {
    this.#stopping = true;
    this.#restart?.cancel();
    this.#restart = undefined;
    this.#pinger?.cancel();
    const child = this.#child;
    if (!child) return;
    const gone = new Promise<void>((resolve) => this.#onExit.push(resolve));
    this.#send({ type: 'stop' });
    const force = this.#options.clock.after(limit, () => {
      this.#options.log.warning(`${this.#options.title} child process did not end in time, it is killed`);
      child.kill('SIGKILL');
    });
    await gone;
    force.cancel();
  }

  #sendModel(part: Part, reload: boolean): void {
    const generation = this.#generation;
    if (this.#options.json)
      this.#send({ type: 'model-text', generation, text: JSON.stringify(part), reload });
    else this.#send({ type: 'model', generation, part, reload });
  }

  #send(order: Order<Part>): void {
    const child = this.#child;
    if (child?.connected) child.send(order, () => {});
  }

  #start(): void {
    const { title, program, log, logTarget, clock } = this.#options;
    this.#restart = undefined;
    this.#ready = false;
    this.#unansweredSince = undefined;
    this.#startedAt = clock.now();
    const env: NodeJS.ProcessEnv = { ...process.env, [LOG_ENVIRONMENT]: JSON.stringify(logTarget) };
    delete env.NOTIFY_SOCKET;
    const child = (this.#options.start ?? startProcess)(program, env, this.#options.nodeOptions ?? []);
    this.#child = child;
    let ended = false;
    const lost = (why: string, code: number) => {
      if (ended) return;
      ended = true;
      this.#lost(child, why, code);
    };
    child.on('message', (report: Report) => {
      if (this.#child === child) this.#heard(child, report);
    });
    child.on('error', (error) => lost(error.message, 1));
    child.on('exit', (code, signal) =>
      lost(signal ? `due to signal ${signal}` : `with status ${code}`, code ?? 1),
    );
    if (child.pid !== undefined) {
      log.info(`Starting ${title} child process, pid=${child.pid}`);
      this.#options.onStarted(child.pid);
    }
    this.#ping();
  }

  /** Gives a process that is ready its model, and the place of its predecessor. */
  async #welcome(child: ChildProcess): Promise<void> {
    const { predecessor, log, title } = this.#options;
    if (predecessor !== undefined && !this.#replaced) {
      this.#replaced = true;
      log.info(`${title} child process takes the place of pid ${predecessor}, whose front door is gone`);
      await replace(predecessor);
      if (this.#child !== child) return;
    }
    this.#ready = true;
    if (this.#part !== undefined) this.#sendModel(this.#part, false);
    this.#options.onReady?.();
  }

  #heard(child: ChildProcess, report: Report): void {
    switch (report.type) {
      case 'ready':
        void this.#welcome(child);
        break;
      case 'applied':
        this.#options.onApplied(report.generation, report.error);
        break;
      case 'pong':
        this.#unansweredSince = undefined;
        break;
      case 'dump':
        this.#dumps.get(report.id)?.(report.text);
        break;
      case 'news':
        this.#options.onNews?.(report.news);
        break;
    }
  }

  #ping(): void {
    const { clock, log, title, patience } = this.#options;
    this.#pinger?.cancel();
    this.#pinger = clock.after(
      PING_INTERVAL,
      () => {
        const child = this.#child;
        if (!child || this.#stopping) return;
        if (this.#unansweredSince !== undefined && clock.now() - this.#unansweredSince >= patience) {
          log.error(
            `${title} child process (pid ${child.pid}) has not answered for ${patience / 1000} seconds, it is replaced`,
          );
          child.kill('SIGKILL');
          return;
        }
        this.#unansweredSince ??= clock.now();
        this.#send({ type: 'ping', id: ++this.#pings });
        this.#ping();
      },
      `ping ${this.name}`,
    );
  }

  #lost(child: ChildProcess, why: string, code: number): void {
    if (this.#child !== child) return;
    const { clock, log, title } = this.#options;
    this.#child = undefined;
    this.#ready = false;
    this.#pinger?.cancel();
    for (const answer of [...this.#dumps.values()]) answer('');
    for (const resolve of this.#onExit.splice(0)) resolve();
    if (this.#stopping) {
      log.info(`pid ${child.pid} exited ${why}`);
      return;
    }
    if (this.#options.dontRespawn) {
      log.error(`${title} child process(${child.pid}) died: Exiting`);
      this.#options.onLost(code);
      return;
    }
    if (clock.now() - this.#startedAt >= RAN_LONG) this.#pause = FIRST_PAUSE;
    log.error(`${title} child process(${child.pid}) died (${why}): Respawning in ${this.#pause} ms`);
    this.#restart = clock.after(this.#pause, () => this.#start(), `restart ${this.name}`);
    this.#pause = Math.min(LONGEST_PAUSE, this.#pause * 2);
  }
}

function startProcess(program: string, env: NodeJS.ProcessEnv, nodeOptions: readonly string[]): ChildProcess {
  return fork(program, [], {
    serialization: 'advanced',
    env,
    // What a sidecar allocates is short-lived and little: a small young generation keeps pauses short and memory low.
    execArgv: [...process.execArgv, '--max-semi-space-size=2', ...nodeOptions],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
}
