import { unlinkSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import type { GuardWord } from './guard-client.js';
import { Kernel } from './kernel.js';
import { onLines } from './lines.js';

/**
 * A process of its own that outlives bridge and front door: when no bridge has been connected for the guard time, the
 * announcements are taken away, since routes of a service that nobody looks after must not stay for ever. It ends with that,
 * or when a bridge says that it has cleaned up itself.
 */
const [path = ''] = process.argv.slice(2);
const connected = new Set<Socket>();
let settings: Extract<GuardWord, { type: 'settings' }>['settings'] | undefined;
let countdown: NodeJS.Timeout | undefined;

function watch(): void {
  clearTimeout(countdown);
  countdown = undefined;
  if (connected.size > 0) return;
  // Started and never spoken to: nothing to guard.
  if (!settings) countdown = setTimeout(end, 10_000);
  else if (settings.guardTime > 0) countdown = setTimeout(withdraw, settings.guardTime);
}

function withdraw(): void {
  const kernel = new Kernel(settings!);
  const count = kernel.clear();
  process.stderr.write(`ospf-bridge: nobody looks after the announcements, ${count} are withdrawn\n`);
  end();
}

function end(): void {
  try {
    unlinkSync(path);
  } catch {
    // Somebody was faster.
  }
  process.exit(0);
}

const server = createServer((socket) => {
  connected.add(socket);
  watch();
  socket.on('error', () => {});
  socket.on('close', () => {
    connected.delete(socket);
    watch();
  });
  onLines(socket, (line) => {
    let word: GuardWord;
    try {
      word = JSON.parse(line) as GuardWord;
    } catch {
      socket.destroy();
      return;
    }
    if (word.type === 'settings') settings = word.settings;
    else if (word.type === 'end') end();
  });
});

server.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EADDRINUSE') {
    process.stderr.write(`ospf-bridge: no guard, announcements would outlive everything: ${error.message}\n`);
    process.exit(1);
  }
  // Either another guard lives, or one was killed and left its socket.
  const probe = createConnection(path);
  probe.on('connect', () => process.exit(0));
  probe.on('error', () => {
    unlinkSync(path);
    server.listen(path);
  });
});
process.umask(0o177);
server.listen(path, watch);
for (const signal of ['SIGHUP', 'SIGINT', 'SIGPIPE'] as const) process.on(signal, () => {});
