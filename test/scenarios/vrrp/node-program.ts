import { fork } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { VrrpPart } from '../../../keepalived/model/index.js';
import { parse } from '../../../keepalived/parse.js';
import type { DumpKind, Order, Report } from '../../../keepalived/sidecar.js';

/**
 * The VRRP process alone, in place of the front door: reads the configuration file (argument 1), hands it over, again on
 * SIGHUP; SIGUSR1 writes all dumps into the directory of argument 2; SIGTERM stops it; `data.ready` there tells that they are written.
 */
const [file = '', directory = ''] = process.argv.slice(2);
const child = fork(fileURLToPath(new URL('../../../vrrp/main.js', import.meta.url)), [], {
  serialization: 'advanced',
  execArgv: ['--max-semi-space-size=1', '--max-old-space-size=64'],
});
let generation = 0;
const waiting = new Map<number, DumpKind>();

function send(order: Order<VrrpPart>): void {
  if (child.connected) child.send(order);
}

function configure(reload: boolean): void {
  const { model, diagnostics } = parse(file);
  for (const message of diagnostics.findings) console.error(`config: ${JSON.stringify(message)}`);
  send({ type: 'model', generation: ++generation, part: { global: model.global, vrrp: model.vrrp }, reload });
}

child.on('message', (report: Report) => {
  if (report.type === 'ready') configure(false);
  if (report.type !== 'dump') return;
  writeFileSync(join(directory, `dump.${waiting.get(report.id)}`), report.text);
  waiting.delete(report.id);
  if (waiting.size === 0) writeFileSync(join(directory, 'dump.ready'), `${Date.now()}\n`);
});
child.on('exit', (code, signal) => {
  console.error(`vrrp ended: ${signal ?? code}`);
  process.exit(code ?? 1);
});
process.on('SIGHUP', () => configure(true));
process.on('SIGUSR1', () => {
  for (const [index, kind] of (['data', 'stats', 'json'] as const).entries()) {
    const id = generation * 100 + index;
    waiting.set(id, kind);
    send({ type: 'dump', id, kind });
  }
});
process.on('SIGTERM', () => send({ type: 'stop' }));
// For tests of a crash: the process that does the work.
console.error(`vrrp pid ${child.pid}`);
