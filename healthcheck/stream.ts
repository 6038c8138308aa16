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
