import { constants } from 'node:os';
import type { CheckEndpoint, TcpCheck } from '../keepalived/model/virtual-server.js';
import { SOCK_STREAM } from '../lib/libc.js';
import { deferred, failure, type Probe, success, type Verdict } from './probe.js';
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
  Waiting,
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
class TcpProbe extends Waiting implements Probe {
  readonly #reactor: Reactor;
  readonly #route: Route;
  readonly #timeout: number;
  #fd = -1;
  #done: ((verdict: Verdict) => void) | undefined;

  constructor(check: TcpCheck, reactor: Reactor) {
    super();
    this.#reactor = reactor;
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
    if (!this.#reactor.watch(opened.fd, WRITABLE, this, this.#timeout)) {
      reset(opened.fd);
      done(unwatched);
      return nothing;
    }
    this.#fd = opened.fd;
    this.#done = done;
    return () => this.#end();
  }

  onReady(events: number): void {
    const error = connectError(this.#fd, events);
    if (error === undefined) return;
    this.#finish(error === 0 || acceptedFirst.has(error) ? success : connectVerdict(error));
  }

  onDue(): void {
    this.#finish(timedOut);
  }

  #finish(verdict: Verdict): void {
    const done = this.#done;
    this.#end();
    done?.(verdict);
  }

  #end(): void {
    this.#done = undefined;
    if (this.#fd < 0) return;
    this.#reactor.unwatch(this.#fd, 'forget');
    reset(this.#fd);
    this.#fd = -1;
  }
}

function nothing(): void {}

const timedOut = failure('timeout');
/** The kernel would not add the socket to the set (no memory, too many watches). */
export const unwatched = deferred('the kernel does not watch the socket');

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
  const attempt = new Attempt(reactor, opened.fd, done);
  if (!reactor.watch(opened.fd, WRITABLE, attempt, timeout)) {
    reset(opened.fd);
    done(unwatched);
    return nothing;
  }
  return () => attempt.abort();
}

/** The verdict on a socket that could not even begin to connect. */
export function refusal(opened: Extract<Opened, { errno: number }>): Verdict {
  const reason = `${opened.call}: ${errorName(opened.errno)}`;
  return opened.local ? deferred(reason) : failure(reason);
}

class Attempt extends Waiting {
  readonly #reactor: Reactor;
  #fd: number;
  readonly #done: (result: { fd: number } | Verdict) => void;

  constructor(reactor: Reactor, fd: number, done: (result: { fd: number } | Verdict) => void) {
    super();
    this.#reactor = reactor;
    this.#fd = fd;
    this.#done = done;
  }

  onReady(events: number): void {
    const fd = this.#fd;
    const error = connectError(fd, events);
    if (error === undefined) return;
    if (error !== 0) {
      this.abort();
      this.#done(connectVerdict(error));
      return;
    }
    this.#fd = -1;
    this.#reactor.unwatch(fd, 'keep');
    this.#done({ fd });
  }

  onDue(): void {
    this.abort();
    this.#done(timedOut);
  }

  abort(): void {
    if (this.#fd < 0) return;
    this.#reactor.unwatch(this.#fd, 'forget');
    reset(this.#fd);
    this.#fd = -1;
  }
}

/** `[192.0.2.1]:80`: where a check goes, for logs. */
export function endpointText(check: CheckEndpoint): string {
  return `[${check.connectAddress}]:${check.connectPort}`;
}
