import { hostname } from 'node:os';
import type { Log } from '../../lib/log.js';
import type { Global, NotifyFifo } from '../model/global.js';
import type { Script } from '../model/script.js';
import { FifoWriter } from './fifo.js';
import { type RunOptions, runScript, type ScriptResult } from './script.js';
import { SmtpAlerts } from './smtp.js';

export type { RunOptions, ScriptResult } from './script.js';

/** How a process tells the outside world about events: scripts, FIFOs and mail, as `global_defs` says. */
export interface Notify {
  /**
   * Runs a script of the configuration.
   * @param extra words appended to its arguments (`INSTANCE`, `VI_1`, `MASTER`, `100`)
   * @returns how it ended; never rejects: a script that cannot be started is logged and reported as `error`
   */
  script(script: Script, extra?: string[], options?: RunOptions): Promise<ScriptResult>;
  /** Writes one line (the newline is added) to every FIFO that this process serves. Lost when the FIFO is full. */
  fifo(line: string): void;
  /** Sends a mail in the background, if recipients and server are configured. `subject` without the `[router_id] ` prefix. */
  mail(subject: string, body: string): void;
  /** Takes over the settings of a reload: FIFOs are opened and closed as needed, their scripts are started anew. */
  update(global: Global): void;
  /**
   * Waits (at most `limit` milliseconds) for mail that is under way, ends FIFO scripts, closes and removes FIFOs that we made.
   */
  close(limit?: number): Promise<void>;
}

/**
 * Notifications of one process.
 * @param process which FIFOs it serves besides `notify_fifo`: `vrrp_notify_fifo` or `lvs_notify_fifo`
 */
export function createNotify(global: Global, process: 'vrrp' | 'lvs', log: Log): Notify {
  let settings = global;
  let fifos: FifoWriter[] = [];
  const smtp = new SmtpAlerts(log);
  const running = new Set<Promise<unknown>>();

  const wanted = (): NotifyFifo[] =>
    [settings.notifyFifo, process === 'vrrp' ? settings.vrrpNotifyFifo : settings.lvsNotifyFifo].filter(
      (fifo): fifo is NotifyFifo => fifo !== undefined,
    );
  const openFifos = () => {
    const next: FifoWriter[] = [];
    for (const fifo of wanted()) {
      const kept = fifos.find((writer) => writer.path === fifo.path);
      next.push(kept ?? new FifoWriter(fifo.path, log));
    }
    for (const writer of fifos) if (!next.includes(writer)) writer.close(true);
    fifos = next;
    for (const [index, fifo] of wanted().entries()) fifos[index]?.configure(fifo, settings);
  };
  openFifos();

  return {
    script(script, extra = [], options = {}) {
      const run = runScript(script, extra, options, settings, log);
      running.add(run);
      void run.finally(() => running.delete(run));
      return run;
    },
    fifo(line) {
      for (const writer of fifos) writer.write(line);
    },
    mail(subject, body) {
      const server = settings.smtpServer;
      if (!server || settings.notificationEmail.length === 0) return;
      const host = hostname();
      smtp.send({
        server,
        helo: settings.smtpHeloName ?? host,
        from: settings.notificationEmailFrom ?? `root@${host}`,
        to: settings.notificationEmail,
        subject: `[${settings.routerId ?? host}] ${subject}`,
        body,
        timeout: settings.smtpConnectTimeout,
      });
    },
    update(next) {
      settings = next;
      openFifos();
    },
    async close(limit = 5000) {
      await Promise.race([
        Promise.allSettled([...running, smtp.idle()]),
        new Promise((resolve) => setTimeout(resolve, limit).unref()),
      ]);
      for (const writer of fifos) writer.close(true);
      fifos = [];
    },
  };
}
