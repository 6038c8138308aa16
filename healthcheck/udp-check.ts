import { defaultUdpPayload, type UdpCheck, type VirtualServer } from '../keepalived/model/virtual-server.js';
import { SOCK_DGRAM } from '../lib/libc.js';
import { failure, type Probe, success, type Verdict } from './probe.js';
import { proxyHeader } from './proxy-header.js';
import { nothing, SocketWait } from './socket-wait.js';
import {
  close,
  errorName,
  open,
  READABLE,
  type Reactor,
  type Route,
  receive,
  reportIcmpErrors,
  routeOf,
  send,
} from './sockets.js';
import { refusal } from './tcp-check.js';

/** A reply pattern, ready to compare: a byte fits when it equals `bytes` wherever `mask` has a bit. */
export interface ReplyPattern {
  bytes: Buffer;
  mask: Buffer;
  minLength: number;
  maxLength: number;
}

/** Servers of one kind ask and expect the same bytes: each is kept once, by its text. Only what the configuration says gets in. */
const payloads = new Map<string, Buffer>();
const patterns = new Map<string, ReplyPattern>();

function once<Value>(known: Map<string, Value>, text: string, make: () => Value): Value {
  const value = known.get(text) ?? make();
  known.set(text, value);
  return value;
}

/** Compiles the hex pattern of require_reply, in which `x` stands for any nibble. */
export function replyPattern(required: NonNullable<UdpCheck['requireReply']>): ReplyPattern {
  const nibbles = [...required.pattern];
  const hex = nibbles.map((nibble) => (nibble === 'x' ? '0' : nibble)).join('');
  const mask = nibbles.map((nibble) => (nibble === 'x' ? '0' : 'f')).join('');
  return {
    bytes: Buffer.from(hex, 'hex'),
    mask: Buffer.from(mask, 'hex'),
    minLength: required.minLength,
    maxLength: required.maxLength,
  };
}

/**
 * Judges a reply as keepalived does: its length must be within the limits, and the bytes that both have must fit. A reply shorter
 * than the pattern is right as far as it goes: `min_reply_length` asks for more.
 * @returns why the reply is wrong, or undefined
 */
export function replyFault(reply: Uint8Array, pattern: ReplyPattern): string | undefined {
  if (pattern.bytes.length === 0) return undefined;
  if (reply.length < pattern.minLength || reply.length > pattern.maxLength) {
    return `reply of ${reply.length} bytes, allowed are ${pattern.minLength} to ${pattern.maxLength}`;
  }
  const common = Math.min(reply.length, pattern.bytes.length);
  for (let at = 0; at < common; at++) {
    if ((reply[at]! ^ pattern.bytes[at]!) & pattern.mask[at]!) return `wrong reply at byte ${at}`;
  }
  return undefined;
}

/** Largest datagram there is, and one more byte to see that a reply is too long. */
const inbox = Buffer.alloc(65_537);

/**
 * UDP_CHECK: sends one datagram from a connected socket. An ICMP error is failure, a wrong reply is failure, and silence is what
 * `check.silence` says.
 * @param proxy proxy_protocol of the virtual server: `v2` puts its header before the default payload
 */
export function udpCheck(check: UdpCheck, proxy: VirtualServer['proxyProtocol'], reactor: Reactor): Probe {
  return new UdpProbe(check, proxy, reactor);
}

const noReply = failure('no reply');

/** One object for all runs, since there are tens of thousands of them, each with thousands of runs. */
class UdpProbe extends SocketWait implements Probe {
  readonly #check: UdpCheck;
  readonly #route: Route;
  readonly #payload: Buffer;
  readonly #pattern: ReplyPattern | undefined;

  constructor(check: UdpCheck, proxy: VirtualServer['proxyProtocol'], reactor: Reactor) {
    super(reactor);
    this.#check = check;
    this.#route = routeOf(check);
    this.#payload = once(payloads, `${check.payload ?? ''} ${proxy}`, () => udpPayload(check, proxy));
    const required = check.requireReply;
    this.#pattern =
      required &&
      once(patterns, `${required.pattern} ${required.minLength} ${required.maxLength}`, () =>
        replyPattern(required),
      );
  }

  run(_step: number, done: (verdict: Verdict) => void): () => void {
    const opened = open(this.#route, SOCK_DGRAM);
    if ('errno' in opened) {
      // Whatever connect() of a datagram socket says, it says about the way to the server.
      done(opened.call === 'connect' ? failure(`connect: ${errorName(opened.errno)}`) : refusal(opened));
      return nothing;
    }
    const { fd } = opened;
    reportIcmpErrors(fd, this.#route.origin.family);
    const error = send(fd, this.#payload);
    if (error !== 0) {
      close(fd);
      done(failure(`send: ${errorName(error)}`));
      return nothing;
    }
    return this.begin(fd, READABLE, this.#check.connectTimeout, done);
  }

  onReady(): void {
    while (this.fd >= 0) {
      const length = nextDatagram(this.fd);
      if (length === undefined) return;
      if (typeof length === 'object') this.finish(length);
      else {
        const fault = this.#pattern && replyFault(inbox.subarray(0, length), this.#pattern);
        this.finish(fault === undefined ? success : failure(fault));
      }
    }
  }

  onDue(): void {
    this.finish(this.#check.silence === 'alive' ? success : noReply);
  }

  protected release(fd: number): void {
    close(fd);
  }
}

/**
 * Receives into `inbox`.
 * @returns the length; undefined when there is nothing (more); the verdict when the socket tells an error
 */
function nextDatagram(fd: number): number | Verdict | undefined {
  for (;;) {
    const length = receive(fd, inbox);
    if (length >= 0) return length;
    const name = errorName(-length);
    if (name === 'EAGAIN' || name === 'EINTR') return undefined;
    // A path MTU report is about the way, not about the server; only large payloads meet it.
    if (name !== 'EMSGSIZE') return failure(name);
  }
}

/** The bytes a UDP_CHECK sends. */
export function udpPayload(check: UdpCheck, proxy: VirtualServer['proxyProtocol']): Buffer {
  if (check.payload !== undefined) return Buffer.from(check.payload, 'hex');
  const text = Buffer.from(defaultUdpPayload, 'hex');
  // The header takes the place of the text's second half: a server that expects it sees a LOCAL connection.
  return proxy === 'v2' ? Buffer.concat([proxyHeader('v2'), text.subarray(0, 16)]) : text;
}

/** How a datagram probe judges. */
export interface DatagramJudge {
  /** Verdict on a reply, or undefined when it is none of ours: then waiting goes on. */
  reply(bytes: Buffer): Verdict | undefined;
  silence: Verdict;
  done: (verdict: Verdict) => void;
}

/**
 * Waits for the reply to a datagram that was sent from `fd`, which is the attempt's from now on.
 * @returns ends the attempt without a verdict
 */
export function awaitReply(reactor: Reactor, fd: number, timeout: number, judge: DatagramJudge): () => void {
  return new DatagramAttempt(reactor, judge).await(fd, timeout);
}

class DatagramAttempt extends SocketWait {
  readonly #judge: DatagramJudge;

  constructor(reactor: Reactor, judge: DatagramJudge) {
    super(reactor);
    this.#judge = judge;
  }

  await(fd: number, timeout: number): () => void {
    return this.begin(fd, READABLE, timeout, this.#judge.done);
  }

  onReady(): void {
    while (this.fd >= 0) {
      const length = nextDatagram(this.fd);
      if (length === undefined) return;
      const verdict = typeof length === 'object' ? length : this.#judge.reply(inbox.subarray(0, length));
      if (verdict) this.finish(verdict);
    }
  }

  onDue(): void {
    this.finish(this.#judge.silence);
  }

  protected release(fd: number): void {
    close(fd);
  }
}
