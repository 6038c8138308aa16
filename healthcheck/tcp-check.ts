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
const acceptedFirst = new Set(['ECONNRESET', 'EPIPE']);

/** TCP_CHECK: the server accepts a connection within connect_timeout. It is reset at once, so that nothing lingers. */
export function tcpCheck(check: TcpCheck, reactor: Reactor): Probe {
  const route = routeOf(check);
  return {
    run(_step, done) {
      const judge = (result: { fd: number } | Verdict) => {
        if ('fd' in result) {
          reset(result.fd);
          done(success);
        } else if (result.outcome === 'failure' && acceptedFirst.has(result.reason)) done(success);
        else done(result);
      };
      return connectStream(reactor, route, check.connectTimeout, judge, 'forget');
    },
  };
}

/**
 * Opens a TCP connection.
 * @param done gets the connected socket, which is the caller's then and watched by nobody, or the verdict
 * @param next what becomes of a connected socket: `forget` when `done` closes it at once
 * @returns ends the attempt without a call of `done`
 */
export function connectStream(
  reactor: Reactor,
  route: Route,
  timeout: number,
  done: (result: { fd: number } | Verdict) => void,
  next: 'forget' | 'keep' = 'keep',
): () => void {
  const opened = open(route, SOCK_STREAM);
  if ('errno' in opened) {
    done(refusal(opened));
    return () => {};
  }
  const attempt = new Attempt(reactor, opened.fd, next, done);
  if (!reactor.watch(opened.fd, WRITABLE, attempt, timeout)) {
    reset(opened.fd);
    done(deferred('the kernel does not watch the socket'));
    return () => {};
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
  readonly #next: 'forget' | 'keep';
  readonly #done: (result: { fd: number } | Verdict) => void;

  constructor(
    reactor: Reactor,
    fd: number,
    next: 'forget' | 'keep',
    done: (result: { fd: number } | Verdict) => void,
  ) {
    super();
    this.#reactor = reactor;
    this.#fd = fd;
    this.#next = next;
    this.#done = done;
  }

  onReady(events: number): void {
    const fd = this.#fd;
    if (events & FAILED) {
      const error = pendingError(fd);
      if (error !== 0) {
        this.abort();
        const reason = errorName(error);
        this.#done(isServerError(error) ? failure(reason) : deferred(reason));
        return;
      }
    }
    if (!(events & (WRITABLE | FAILED))) return;
    this.#fd = -1;
    this.#reactor.unwatch(fd, this.#next);
    this.#done({ fd });
  }

  onDue(): void {
    this.abort();
    this.#done(failure('timeout'));
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
