import { constants } from 'node:os';
import type { CheckEndpoint, TcpCheck } from '../keepalived/model/virtual-server.js';
import { SOCK_STREAM } from '../lib/libc.js';
import { deferred, failure, type Probe, success, type Verdict } from './probe.js';
import { nothing, SocketWait } from './socket-wait.js';
import {
  errorName,
  FAILED,
  isServerError,
  type Opened,
  open,
  pendingError,
  type Reactor,
  type Route,
  reset,
  routeOf,
  WRITABLE,
} from './sockets.js';

/**
 * A connection that is reset before it is established counts as refused (RFC 9293 3.10.7.3): these errors say that the server had
 * accepted, and hung up before we looked.
 */
const acceptedFirst = new Set<number>([constants.errno.ECONNRESET, constants.errno.EPIPE]);

/** TCP_CHECK: the server accepts a connection within connect_timeout. It is reset at once, so that nothing lingers. */
export function tcpCheck(check: TcpCheck, reactor: Reactor): Probe {
  return new TcpProbe(check, reactor);
}

/** One object for all runs, since there are tens of thousands of them, each with thousands of runs. */
class TcpProbe extends SocketWait implements Probe {
  readonly #route: Route;
  readonly #timeout: number;

  constructor(check: TcpCheck, reactor: Reactor) {
    super(reactor);
    this.#route = routeOf(check);
    this.#timeout = check.connectTimeout;
  }

  run(_step: number, done: (verdict: Verdict) => void): () => void {
    const opened = open(this.#route, SOCK_STREAM);
    if ('errno' in opened) {
      const verdict = refusal(opened);
      done(verdict.outcome === 'failure' && acceptedFirst.has(opened.errno) ? success : verdict);
      return nothing;
    }
    return this.begin(opened.fd, WRITABLE, this.#timeout, done);
  }

  onReady(events: number): void {
    const error = connectError(this.fd, events);
    if (error === undefined) return;
    this.finish(error === 0 || acceptedFirst.has(error) ? success : connectVerdict(error));
  }

  onDue(): void {
    this.finish(timedOut);
  }

  protected release(fd: number): void {
    reset(fd);
  }
}

const timedOut = failure('timeout');

/** What became of a connect(): 0 it stands, an error number, or undefined as long as nothing is decided. */
function connectError(fd: number, events: number): number | undefined {
  const error = events & FAILED ? pendingError(fd) : 0;
  return error !== 0 || events & (WRITABLE | FAILED) ? error : undefined;
}

function connectVerdict(error: number): Verdict {
  const reason = errorName(error);
  return isServerError(error) ? failure(reason) : deferred(reason);
}

/**
 * Opens a TCP connection.
 * @param done gets the connected socket, which is the caller's then and watched by nobody, or the verdict
 * @returns ends the attempt without a call of `done`
 */
export function connectStream(
  reactor: Reactor,
  route: Route,
  timeout: number,
  done: (result: { fd: number } | Verdict) => void,
): () => void {
  const opened = open(route, SOCK_STREAM);
  if ('errno' in opened) {
    done(refusal(opened));
    return nothing;
  }
  return new Attempt(reactor).connect(opened.fd, timeout, done);
}

/** The verdict on a socket that could not even begin to connect. */
export function refusal(opened: Extract<Opened, { errno: number }>): Verdict {
  const reason = `${opened.call}: ${errorName(opened.errno)}`;
  return opened.local ? deferred(reason) : failure(reason);
}

class Attempt extends SocketWait<{ fd: number }> {
  connect(fd: number, timeout: number, done: (result: { fd: number } | Verdict) => void): () => void {
    return this.begin(fd, WRITABLE, timeout, done);
  }

  onReady(events: number): void {
    const error = connectError(this.fd, events);
    if (error === undefined) return;
    this.finish(error === 0 ? { fd: this.handOver() } : connectVerdict(error));
  }

  onDue(): void {
    this.finish(timedOut);
  }

  protected release(fd: number): void {
    reset(fd);
  }
}

/** `[192.0.2.1]:80`: where a check goes, for logs. */
export function endpointText(check: CheckEndpoint): string {
  return `[${check.connectAddress}]:${check.connectPort}`;
}
