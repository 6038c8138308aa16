import { Log } from '../lib/log.js';
import { consoleOrSyslog, type LogTarget } from './logging.js';

/**
 * The contract between the front door and its sidecars: child processes with Node's IPC channel, `serialization: 'advanced'`
 * (so that Map, Set, bigint and undefined survive). The front door sends orders, the sidecar sends reports.
 *
 * Life of a sidecar: it connects, reports `ready`, gets `model` (and again at every reload), reports `applied` for each;
 * it answers every `ping` within a few seconds or is replaced; on `stop` it winds down and exits 0. When the front door dies it may go
 * on alone for a while (`alone`); the sidecar of the next front door takes its place.
 */
export type Order<Part> =
  | { type: 'model'; generation: number; part: Part; reload: boolean }
  /** The same with the part as JSON, which for a hundred thousand servers takes a third of the time. */
  | { type: 'model-text'; generation: number; text: string; reload: boolean }
  | { type: 'ping'; id: number }
  | { type: 'dump'; id: number; kind: DumpKind }
  | { type: 'news'; news: SidecarNews }
  | { type: 'stop' };

/** What a sidecar reports. */
export type Report =
  | { type: 'ready' }
  | { type: 'applied'; generation: number; error?: string }
  | { type: 'pong'; id: number }
  | { type: 'dump'; id: number; text: string }
  | { type: 'news'; news: SidecarNews };

/**
 * What one sidecar tells others, by way of the front door, which repeats the last word on each subject to those that start later.
 * `bfd`: a session went up or down. `quorum`: whether a virtual server has quorum (`undefined`: it is gone). `vrrp`: state of
 * an instance.
 */
export type SidecarNews =
  | { topic: 'bfd'; name: string; up: boolean }
  | { topic: 'quorum'; name: string; addresses: string[]; up: boolean | undefined }
  | { topic: 'vrrp'; name: string; master: boolean };

/**
 * What an operator asks for by a signal: `data` USR1 (state in words, keepalived's layout), `stats` USR2, `stats-clear`
 * (the same, then counters to zero), `json` SIGRTMIN+2. A sidecar that has nothing to say answers with an empty text.
 */
export type DumpKind = 'data' | 'stats' | 'stats-clear' | 'json';

export type SidecarName = 'vrrp' | 'healthcheck' | 'bfd' | 'ospf-bridge';

/** Syslog identifiers and process names, as scripts know them from keepalived. */
export const sidecarIdents: Record<SidecarName, string> = {
  vrrp: 'Keepalived_vrrp',
  healthcheck: 'Keepalived_healthcheckers',
  bfd: 'Keepalived_bfd',
  'ospf-bridge': 'Keepalived_ospf',
};

/** Environment variable with the log target (JSON of LogTarget) that the front door chose. */
export const LOG_ENVIRONMENT = 'DPVS_HA_LOG';

/** What a sidecar does with the front door's orders. */
export interface SidecarHandlers<Part> {
  name: SidecarName;
  /**
   * A new model: the first one starts the work, every other one is a reload. Resolves when it is in force; a rejection is
   * reported to the front door and logged, the sidecar goes on with what it had. Calls never overlap.
   */
  onModel(part: Part, generation: number, reload: boolean): void | Promise<void>;
  /** News from other sidecars; never before the first model. */
  onNews?(news: SidecarNews): void;
  /** Text for one of the dumps; not called before the first model. */
  onDump(kind: DumpKind): string | Promise<string>;
  /**
   * Orderly end: withdraw, notify, release. The process exits when it resolves.
   * `orphaned` means that the front door died; there is nobody to report to.
   */
  onStop(reason: 'stop' | 'orphaned'): void | Promise<void>;
  /**
   * How long it goes on without a front door, milliseconds, before `onStop('orphaned')`: what it does must not pause until somebody
   * has started the front door again. Absent: not at all.
   */
  alone?: number;
}

/** The log of a process under the front door: its own lines under its own ident, to where the front door was told to log. */
export function sidecarLog(name: SidecarName): Log {
  const text = process.env[LOG_ENVIRONMENT];
  const target: LogTarget = text ? (JSON.parse(text) as LogTarget) : { console: true };
  return new Log(consoleOrSyslog(sidecarIdents[name], target), target.detail ? 'debug' : 'info');
}

/**
 * Runs this process as a sidecar until it is told to stop or the front door is gone. Never returns control to the caller's
 * flow: exits the process with 0 after `onStop`, with 1 when `onStop` failed.
 */
export function runSidecar<Part>(
  handlers: SidecarHandlers<Part>,
  log: Log = sidecarLog(handlers.name),
): void {
  if (!process.send) {
    log.error(`${handlers.name} is started by the keepalived front door, not by hand`);
    process.exit(1);
  }
  const report = (message: Report) => {
    // The channel may close at any moment; 'disconnect' deals with that.
    if (process.connected) process.send?.(message, undefined, undefined, () => {});
  };

  let started = false;
  let ending = false;
  let work: Promise<void> = Promise.resolve();

  const end = (reason: 'stop' | 'orphaned') => {
    if (ending) return;
    ending = true;
    void work
      .then(() => (started ? handlers.onStop(reason) : undefined))
      .then(
        () => process.exit(0),
        (error) => {
          log.error(`stopping failed: ${describe(error)}`);
          process.exit(1);
        },
      );
  };

  process.on('message', (order: Order<Part>) => {
    switch (order.type) {
      case 'ping':
        report({ type: 'pong', id: order.id });
        break;
      case 'model':
      case 'model-text':
        work = work.then(async () => {
          if (ending) return;
          try {
            started = true;
            const part = order.type === 'model' ? order.part : (JSON.parse(order.text) as Part);
            await handlers.onModel(part, order.generation, order.reload);
            report({ type: 'applied', generation: order.generation });
          } catch (error) {
            log.error(`configuration not applied: ${describe(error)}`);
            report({ type: 'applied', generation: order.generation, error: describe(error) });
          }
        });
        break;
      case 'dump':
        work = work.then(async () => {
          let text = '';
          try {
            if (started) text = await handlers.onDump(order.kind);
          } catch (error) {
            log.error(`dump '${order.kind}' failed: ${describe(error)}`);
          }
          report({ type: 'dump', id: order.id, text });
        });
        break;
      case 'news':
        work = work.then(() => {
          if (!ending) handlers.onNews?.(order.news);
        });
        break;
      case 'stop':
        end('stop');
        break;
    }
  });
  process.on('disconnect', () => {
    const { alone = 0 } = handlers;
    if (ending) return;
    if (alone === 0 || !started) return end('orphaned');
    log.warning(`the front door is gone: going on for ${alone / 1000} seconds unless it returns`);
    setTimeout(() => end('orphaned'), alone);
  });
  // The front door's signals are its own business: a terminal's Ctrl-C and a group-wide HUP must not end a sidecar beside it.
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => {});
  process.on('SIGTERM', () => end('stop'));
  report({ type: 'ready' });
}

/** Tells other sidecars; without a front door nobody hears it. */
export function publish(news: SidecarNews): void {
  if (process.connected)
    process.send?.({ type: 'news', news } satisfies Report, undefined, undefined, () => {});
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
