import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { Lab } from './lab.js';
import type { LabRecord } from './registry.js';

/** What another process may ask of a running lab: `stop rs1`, `start rs1`, `reload`. */
export const orders = ['stop', 'start', 'reload'] as const;
export type Order = (typeof orders)[number];

const socketOf = (record: LabRecord): string => join(record.folder, 'lab.sock');

/** Carries out one order. @returns what was done. @throws what was wrong with it */
async function carryOut(lab: Lab, order: string, name: string | undefined): Promise<string> {
  if (order === 'reload') {
    if (!lab.keepalived) throw new Error('this lab runs without keepalived (--ipvsadm)');
    lab.keepalived.reload();
    return `keepalived reads ${lab.keepalived.file} again`;
  }
  const server = lab.servers.find((each) => each.name === name);
  if (!server)
    throw new Error(`no server '${name ?? ''}': there are ${lab.servers.map((each) => each.name).join(' ')}`);
  if (order === 'stop') {
    await server.stop();
    return `${server.name}: nginx and the responder are ended`;
  }
  if (server.running) return `${server.name} runs already`;
  await server.start();
  return `${server.name}: nginx and the responder run`;
}

/** Listens for orders, one at a time, one line each way. */
export async function listenForOrders(lab: Lab): Promise<Server> {
  let last: Promise<unknown> = Promise.resolve();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let text = '';
    socket.setEncoding('utf8');
    socket.on('error', () => {});
    socket.on('data', (piece: string) => {
      text += piece;
      if (!text.includes('\n')) return;
      socket.removeAllListeners('data');
      const [order = '', name] = text.trim().split(' ');
      const done = last.then(() => carryOut(lab, order, name));
      last = done.catch(() => {});
      done.then(
        (said) => socket.end(`ok ${said}\n`),
        (error: Error) => socket.end(`failed ${error.message}\n`),
      );
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject);
    server.listen(socketOf(lab.record), resolve);
  });
  return server;
}

/** Gives an order to a running lab of another process. @returns what the lab says @throws when it refuses */
export function give(record: LabRecord, order: Order, name?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketOf(record));
    let text = '';
    socket.setEncoding('utf8');
    socket.on('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'ENOENT'
          ? new Error(`lab ${record.id} (${record.title}) takes no orders: only labs of npm start do`)
          : error,
      ),
    );
    socket.on('data', (piece: string) => {
      text += piece;
    });
    socket.on('end', () => {
      const said = text.trim().replace(/^\S+ ?/, '');
      if (text.startsWith('ok ')) resolve(said);
      else reject(new Error(said || 'the lab ended'));
    });
    socket.write(`${order} ${name ?? ''}\n`);
  });
}
