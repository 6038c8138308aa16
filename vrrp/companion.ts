import { createNotify, type Notify } from '../keepalived/notify/index.js';
import { sidecarLog } from '../keepalived/sidecar.js';
import { setNice } from '../lib/libc.js';
import { AcceptFilter } from './accept-filter.js';
import type { CompanionAnswer, CompanionOrder } from './companion-protocol.js';
import { FileWatcher } from './file-watcher.js';
import { ProcessWatcher } from './process-watcher.js';
import { ScriptRunner } from './script-runner.js';

/** How long the end waits for a script of a STOP notification. */
const STOP_SCRIPT_LIMIT = 1000;

/** The program of the companion process: see companion-protocol.ts. */
const log = sidecarLog('vrrp');
let notify: Notify | undefined;
let work: Promise<unknown> = Promise.resolve();

function report(message: CompanionAnswer): void {
  // The channel may close at any moment; 'disconnect' deals with that.
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

// Inherited from the VRRP process; scripts must not take precedence over anybody.
try {
  setNice(0);
} catch (error) {
  log.debug(`cannot lower the priority of scripts: ${(error as Error).message}`);
}

const runner = new ScriptRunner(
  (script, timeout) => notify!.script(script, [], { timeout }),
  (name, success) => report({ type: 'script', name, success }),
  log,
);
const files = new FileWatcher((name, value) => report({ type: 'file', name, value }), log);
const filter = new AcceptFilter(log);
const processes = new ProcessWatcher((name, count) => report({ type: 'process', name, count }));

process.on('message', (order: CompanionOrder) => {
  switch (order.type) {
    case 'configure':
      if (notify) notify.update(order.global);
      else notify = createNotify(order.global, 'vrrp', log);
      runner.configure(order.scripts);
      files.configure(order.files);
      processes.configure(order.processes);
      filter.configure(order.firewall, order.refused);
      break;
    case 'notify': {
      const { scripts, fifo, mail } = order.notification;
      // Started in order; only the scripts of the end are waited for.
      const runs = scripts.map(({ script, extra }) =>
        notify?.script(script, extra, order.wait ? { timeout: STOP_SCRIPT_LIMIT } : {}),
      );
      if (fifo !== undefined) notify?.fifo(fifo);
      if (mail) notify?.mail(mail.subject, mail.body);
      if (order.wait) work = Promise.allSettled([work, ...runs]);
      break;
    }
    case 'ping':
      report({ type: 'pong' });
      break;
    case 'end':
      void end();
      break;
  }
});
process.on('disconnect', () => void end());
// Signals to the whole group mean the front door, which tells everybody what to do.
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2'] as const)
  process.on(signal, () => {});

let ending = false;
async function end(): Promise<void> {
  if (ending) return;
  ending = true;
  runner.close();
  files.close();
  processes.close();
  await work;
  filter.close();
  await notify?.close();
  process.exit(0);
}
