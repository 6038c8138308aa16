import { deferred, type Verdict } from './probe.js';
import { type Reactor, Waiting } from './sockets.js';

/** The kernel would not add the socket to the set (no memory, too many watches). */
export const unwatched = deferred('the kernel does not watch the socket');

/** Nothing to end. */
export function nothing(): void {}

/** Waits with one socket of its own at a time, and owes a result: a verdict, or what else its kind brings about. */
export abstract class SocketWait<Result = Verdict> extends Waiting {
  protected readonly reactor: Reactor;
  /** -1: none now. */
  protected fd = -1;
  #done: ((result: Result | Verdict) => void) | undefined;

  constructor(reactor: Reactor) {
    super();
    this.reactor = reactor;
  }

  /** How a socket is put away that has served. */
  protected abstract release(fd: number): void;

  /**
   * Waits with this socket from now on, which is this object's.
   * @returns ends the waiting without a result
   */
  protected begin(
    fd: number,
    events: number,
    timeout: number,
    done: (result: Result | Verdict) => void,
  ): () => void {
    if (!this.reactor.watch(fd, events, this, timeout)) {
      this.release(fd);
      done(unwatched);
      return nothing;
    }
    this.fd = fd;
    this.#done = done;
    return () => this.end();
  }

  protected finish(result: Result | Verdict): void {
    const done = this.#done;
    this.end();
    done?.(result);
  }

  protected end(): void {
    this.#done = undefined;
    if (this.fd < 0) return;
    const { fd } = this;
    this.fd = -1;
    this.reactor.unwatch(fd, 'forget');
    this.release(fd);
  }

  /** The socket serves somebody else from now on. @returns it */
  protected handOver(): number {
    const { fd } = this;
    this.fd = -1;
    this.reactor.unwatch(fd, 'keep');
    return fd;
  }
}
