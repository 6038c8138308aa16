import { Socket } from 'node:net';
import type { Verdict } from './probe.js';
import type { Reactor, Route } from './sockets.js';
import { connectStream } from './tcp-check.js';

/**
 * Connects and hands the connection over as a stream.
 * @param done gets the socket, whose errors and end are the caller's then, or the verdict
 * @returns ends the attempt while it has not come to `done` yet
 */
export function openStream(
  reactor: Reactor,
  route: Route,
  timeout: number,
  done: (result: Socket | Verdict) => void,
): () => void {
  return connectStream(reactor, route, timeout, (result) => {
    if ('fd' in result) done(new Socket({ fd: result.fd, readable: true, writable: true }));
    else done(result);
  });
}

/**
 * Tells when nothing has come from the server for `timeout` milliseconds. Not by the clock alone: where this process stood still,
 * what came meanwhile is read behind the timers of the same turn, and is no silence.
 * @param heard bytes read so far
 */
export function whenSilent(socket: Socket, timeout: number, heard: () => number, callback: () => void): void {
  socket.setTimeout(timeout, () => {
    const before = heard();
    setImmediate(() => {
      if (heard() === before) callback();
    });
  });
}
