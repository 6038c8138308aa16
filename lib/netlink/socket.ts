import {
  AF_NETLINK,
  bind,
  close,
  LibcError,
  MSG_DONTWAIT,
  recvfrom,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_RCVTIMEO,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
  sendto,
  setsockopt,
  sockaddrNetlink,
  socket,
} from '../libc.js';
import {
  attributes,
  attributeText,
  type Message,
  type MessageWriter,
  messages,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLMSG_DONE,
  NLMSG_ERROR,
} from './message.js';

const NETLINK_ROUTE = 0;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;
const RECEIVE_LENGTH = 65536;

/** How long an answer may take, seconds: the kernel gives it before the request's send call returns. */
const ANSWER_LIMIT = 2n;
const ENOBUFS = 105;
/** More messages than can wait in a socket. */
const DISCARD_LIMIT = 100_000;

/** Requests per send call: enough to make the call cheap, few enough that the answers fit into the receive buffer. */
const CHUNK = 128;

/** A request that the kernel refused. */
export class NetlinkError extends LibcError {
  override name = 'NetlinkError';
}

/**
 * A socket for requests to rtnetlink. The kernel carries a request out before the send call returns, so that the answers are
 * read without waiting; a request costs about 10 microseconds.
 */
export class NetlinkSocket {
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(RECEIVE_LENGTH);
  readonly #kernel = sockaddrNetlink();
  #sequence = 0;

  /** @param protocol NETLINK_ROUTE unless said otherwise @param receiveBuffer bytes, absent: the kernel's default */
  constructor(protocol = NETLINK_ROUTE, receiveBuffer?: number) {
    this.#fd = openSocket(protocol, 0, receiveBuffer);
    // Answers that do not fit are dropped without a word, and would be waited for for ever.
    const patience = Buffer.alloc(16);
    patience.writeBigInt64LE(ANSWER_LIMIT, 0);
    setsockopt(this.#fd, SOL_SOCKET, SO_RCVTIMEO, patience);
    setsockopt(this.#fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
    setsockopt(this.#fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  }

  /** All rows that a dump request gives. */
  dump(request: MessageWriter): Message[] {
    const sequence = ++this.#sequence >>> 0;
    const bytes = request.finish(sequence);
    bytes.writeUInt16LE(bytes.readUInt16LE(6) | NLM_F_DUMP, 6);
    sendto(this.#fd, bytes, this.#kernel);
    const rows: Message[] = [];
    for (;;) {
      for (const message of this.#receive()) {
        if (message.sequence !== sequence) continue;
        if (message.type === NLMSG_DONE) return rows;
        if (message.type === NLMSG_ERROR) throw refusal(message) ?? new NetlinkError('netlink', 0);
        rows.push({ ...message, body: Buffer.from(message.body) });
      }
    }
  }

  /** Carries one request out. @throws NetlinkError with the kernel's reason */
  request(request: MessageWriter): void {
    const [error] = this.batch([request]);
    if (error) throw error;
  }

  /**
   * Carries many requests out, in order; a failed one does not keep the others back.
   * @param requests may be made as they are asked for: the first ones are in the kernel while the others are being made
   * @returns for each request its error, or undefined when it was done
   * @throws NetlinkError ENOBUFS when answers were lost: the requests were carried out, nobody knows which
   */
  batch(requests: Iterable<MessageWriter>): (NetlinkError | undefined)[] {
    const errors: (NetlinkError | undefined)[] = [];
    let parts: Buffer[] = [];
    for (const request of requests) {
      parts.push(request.finish(++this.#sequence >>> 0));
      if (parts.length < CHUNK) continue;
      errors.push(...this.#carryOut(parts));
      parts = [];
    }
    if (parts.length > 0) errors.push(...this.#carryOut(parts));
    return errors;
  }

  /** @param parts finished requests, whose sequence numbers are the last ones that were given */
  #carryOut(parts: Buffer[]): (NetlinkError | undefined)[] {
    const first = this.#sequence - parts.length + 1;
    // Only the last one asks for an answer; errors are answered in any case.
    const last = parts[parts.length - 1]!;
    last.writeUInt16LE(last.readUInt16LE(6) | NLM_F_ACK, 6);
    sendto(this.#fd, parts.length === 1 ? last : Buffer.concat(parts), this.#kernel);
    const found = new Array<NetlinkError | undefined>(parts.length).fill(undefined);
    for (let open = true; open; ) {
      for (const message of this.#receive()) {
        const index = message.sequence - (first >>> 0);
        if (message.type !== NLMSG_ERROR || index < 0 || index >= parts.length) continue;
        found[index] = refusal(message);
        if (index === parts.length - 1) open = false;
      }
    }
    return found;
  }

  close(): void {
    close(this.#fd);
  }

  *#receive(): Generator<Message> {
    let length: number;
    try {
      length = recvfrom(this.#fd, this.#buffer);
    } catch (error) {
      this.#discard();
      throw error;
    }
    if (length < 0)
      throw new NetlinkError('netlink', ENOBUFS, 'the answers did not fit into the receive buffer');
    yield* messages(this.#buffer.subarray(0, length));
  }

  /** What is left of answers of which some were lost, and further errors about that: the next request must not see them. */
  #discard(): void {
    for (let attempt = 0; attempt < DISCARD_LIMIT; attempt++) {
      try {
        if (recvfrom(this.#fd, this.#buffer, null, MSG_DONTWAIT) < 0) return;
      } catch {
        // Told once more.
      }
    }
  }
}

/** A socket that hears what changes: links, addresses, routes. */
export class NetlinkMonitor {
  readonly fd: number;
  readonly #buffer = Buffer.alloc(RECEIVE_LENGTH);

  /** @param groups mask of RTMGRP_... */
  constructor(groups: number, receiveBuffer?: number) {
    this.fd = openSocket(NETLINK_ROUTE, SOCK_NONBLOCK, receiveBuffer, groups);
  }

  /**
   * Hands over what has arrived.
   * @returns false when messages were lost (the receive buffer was too small): what is known must be read anew
   */
  read(handle: (message: Message) => void): boolean {
    try {
      for (;;) {
        const length = recvfrom(this.fd, this.#buffer, null, MSG_DONTWAIT);
        if (length < 0) return true;
        for (const message of messages(this.#buffer.subarray(0, length))) handle(message);
      }
    } catch (error) {
      if (error instanceof LibcError && error.code === 'ENOBUFS') return false;
      throw error;
    }
  }

  close(): void {
    close(this.fd);
  }
}

function openSocket(protocol: number, flags: number, receiveBuffer?: number, groups = 0): number {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, protocol);
  try {
    if (receiveBuffer !== undefined) {
      try {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, receiveBuffer);
      } catch {
        // Without CAP_NET_ADMIN the system's limit holds.
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, receiveBuffer);
      }
    }
    bind(fd, sockaddrNetlink(groups));
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/** The error in an answer, or undefined when it is an acknowledgement. */
function refusal(message: Message): NetlinkError | undefined {
  const error = -message.body.readInt32LE(0);
  if (error === 0) return undefined;
  // Behind the error comes the header of the request, then (with NLM_F_ACK_TLVS) the kernel's words.
  const words =
    message.flags & NLM_F_ACK_TLVS
      ? attributeText(attributes(message.body, 20).get(NLMSGERR_ATTR_MSG))
      : undefined;
  return new NetlinkError('netlink', error, words);
}
