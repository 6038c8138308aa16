import { fstatSync, writeSync } from 'node:fs';
import { Command } from 'commander';
import { DpvsdLink } from '../dpvsd/link.js';
import { socketPath } from '../dpvsd/places.js';
import { Log, stderrSink } from '../lib/log.js';
import { Poller } from '../lib/poller.js';
import { TwinWatcher } from './watcher.js';

/** dpvsd hears at this descriptor that we are alive. It may be closed when somebody else has started us. */
const ALIVE_FD = 3;
const ALIVE_INTERVAL = 2000;

function tellAlive(): void {
  try {
    if (fstatSync(ALIVE_FD).isFIFO()) writeSync(ALIVE_FD, '.');
  } catch {
    // Nobody listens.
  }
}

/** The watcher of the kernel's side of the twins. dpvsd starts it, and it ends with dpvsd. */
function main(words: string[]): void {
  const program = new Command('kni')
    .description("Keeps dpvsd in line with the kernel's side of its twins. Started by dpvsd.")
    .option('-x, --ipc-file <file>', 'control socket; also from DPVS_IPC_FILE', socketPath())
    .parse(words, { from: 'user' });
  const { ipcFile } = program.opts<{ ipcFile: string }>();
  const log = new Log(stderrSink('dpvsd kni'));
  const parent = process.ppid;
  const poller = new Poller((error) => log.error(`kernel twins: ${(error as Error).stack}`));
  const link = new DpvsdLink({ path: ipcFile, client: 'kni' });
  const watcher = new TwinWatcher(link, poller, log);
  const end = () => {
    watcher.close();
    link.stop();
    poller.close();
    // A thread may still wait in the poller.
    process.exit(0);
  };
  link.on('down', () => {
    if (process.ppid !== parent) end();
  });
  // The parent may end before the first connection, and before the next.
  setInterval(() => {
    if (process.ppid !== parent) end();
  }, 1000).unref();
  process.on('SIGTERM', end);
  link.start();
  tellAlive();
  setInterval(tellAlive, ALIVE_INTERVAL).unref();
}

main(process.argv.slice(2));
