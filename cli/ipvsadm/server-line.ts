// Nine of ten lines of a long save or restore are real servers as `-S` writes them:
//     -a -t 192.168.100.254:80 -r 192.168.200.2:8080 -b -w 100
// Here such lines become bytes of the control contract, and rows of the contract such lines, with no objects in between. Whatever is
// rarer (IPv6, names, quotes, other switches, mistakes) is left to the general way, which a test compares this one with.

import type { BinaryReader } from '@bufbuild/protobuf/wire';
import type { EncodedBatch } from '../../dpvsd/client.js';
import { Forward, Protocol } from '../../dpvsd/generated/control.js';
import { forwardSwitches, type SavedServer } from './save.js';

const code = (character: string): number => character.charCodeAt(0);
const NEWLINE = 10;
const BLANK = 32;
const DASH = 45;
const DOT = 46;
const ZERO = 48;
const COLON = 58;
const [A, R, T, U, W, X, Y] = [code('a'), code('r'), code('t'), code('u'), code('w'), code('x'), code('y')];
const PORT_MAX = 65535;
const WEIGHT_MAX = 65535;
const THRESHOLD_MAX = 0x7fff_ffff;

/** Ways to forward by the code of their letter, -1 for other letters. */
const forwardByLetter = new Int8Array(128).fill(-1);
for (const [forward, letters] of Object.entries(forwardSwitches)) {
  forwardByLetter[letters.charCodeAt(1)] = Number(forward);
}

/** Reads lines `-a SERVICE -r SERVER ...` and adds what they say to a batch. */
export class ServerLineReader {
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  /** The operation that is being made: all that a line can say takes 44 bytes. */
  readonly #operation = new Uint8Array(64);
  #length = 0;

  /**
   * Reads the line at `from`, which ends with a newline.
   * @returns where the next line begins, or -1 (and nothing is added) when the line is for the general way
   */
  read(bytes: Uint8Array, from: number, batch: EncodedBatch): number {
    this.#bytes = bytes;
    this.#at = from;
    if (!this.#switch(A) || bytes[this.#at++] !== BLANK) return -1;
    const protocol = this.#protocol();
    if (protocol < 0 || bytes[this.#at++] !== BLANK) return -1;
    const virtual = this.#address();
    const virtualPort = virtual < 0 ? -1 : this.#port();
    if (virtualPort < 0 || bytes[this.#at++] !== BLANK) return -1;
    if (!this.#switch(R) || bytes[this.#at++] !== BLANK) return -1;
    const server = this.#address();
    let port = server < 0 ? -1 : this.#port();
    if (port < 0) return -1;

    let forward = -1;
    let weight = -1;
    let upper = -1;
    let lower = -1;
    while (bytes[this.#at] === BLANK) {
      if (bytes[this.#at + 1] !== DASH) return -1;
      const letter = bytes[this.#at + 2]!;
      this.#at += 3;
      if (letter === W || letter === X || letter === Y) {
        const value = this.#argument(letter === W ? WEIGHT_MAX : THRESHOLD_MAX);
        if (value < 0) return -1;
        if (letter === W && weight < 0) weight = value;
        else if (letter === X && upper < 0) upper = value;
        else if (letter === Y && lower < 0) lower = value;
        else return -1;
      } else {
        if (forward >= 0) return -1;
        forward = forwardByLetter[letter] ?? -1;
        if (forward < 0) return -1;
      }
    }
    if (bytes[this.#at] !== NEWLINE) return -1;

    if (forward < 0) forward = Forward.FORWARD_DR;
    // Packets that are passed on unchanged reach the service's own port.
    if (forward === Forward.FORWARD_DR || forward === Forward.FORWARD_TUNNEL) port = virtualPort;
    this.#encode(protocol, virtual, virtualPort, server, port);
    this.#field(4, forward);
    this.#field(5, weight < 0 ? 1 : weight);
    this.#field(6, upper);
    this.#field(7, lower);
    this.#operation[1] = this.#length - 2;
    batch.addEncoded(this.#operation, this.#length);
    return this.#at + 1;
  }

  /** Whether a dash and this letter come next; passes them. */
  #switch(letter: number): boolean {
    const found = this.#bytes[this.#at] === DASH && this.#bytes[this.#at + 1] === letter;
    this.#at += 2;
    return found;
  }

  #protocol(): number {
    const letter = this.#bytes[this.#at + 1];
    const dash = this.#bytes[this.#at] === DASH;
    this.#at += 2;
    if (!dash) return -1;
    return letter === T ? Protocol.PROTOCOL_TCP : letter === U ? Protocol.PROTOCOL_UDP : -1;
  }

  /** An IPv4 address as inet_pton reads it, as a number, or -1. */
  #address(): number {
    let address = 0;
    for (let part = 0; part < 4; part++) {
      if (part > 0 && this.#bytes[this.#at++] !== DOT) return -1;
      const leading = this.#bytes[this.#at] === ZERO;
      const from = this.#at;
      const value = this.#number(3);
      if (value < 0 || value > 255 || (leading && this.#at > from + 1)) return -1;
      address = address * 256 + value;
    }
    return address;
  }

  /** A colon and a port, or -1. */
  #port(): number {
    if (this.#bytes[this.#at++] !== COLON) return -1;
    const port = this.#number(5);
    return port > PORT_MAX ? -1 : port;
  }

  /** A blank and a number up to `most`, or -1. */
  #argument(most: number): number {
    if (this.#bytes[this.#at++] !== BLANK) return -1;
    const value = this.#number(10);
    return value > most ? -1 : value;
  }

  /** Digits, at most so many, as a number, or -1. */
  #number(digits: number): number {
    const from = this.#at;
    let value = 0;
    for (;;) {
      const digit = this.#bytes[this.#at]! - ZERO;
      if (!(digit >= 0 && digit <= 9)) break;
      if (this.#at - from >= digits) return -1;
      value = value * 10 + digit;
      this.#at++;
    }
    return this.#at > from ? value : -1;
  }

  /** Operation.server (its length is filled in later), Server.service, address and port. */
  #encode(protocol: number, virtual: number, virtualPort: number, server: number, port: number): void {
    this.#operation[0] = 26;
    this.#operation[2] = 10;
    this.#length = 4;
    this.#field(1, protocol);
    this.#addressField(virtual);
    this.#field(3, virtualPort);
    this.#operation[3] = this.#length - 4;
    this.#addressField(server);
    this.#field(3, port);
  }

  /** Field 2 of ServiceKey and of Server. */
  #addressField(address: number): void {
    this.#operation[this.#length++] = 18;
    this.#operation[this.#length++] = 4;
    for (let shift = 24; shift >= 0; shift -= 8) this.#operation[this.#length++] = address / 2 ** shift;
  }

  /** A field with a number; what is 0 (or was not given) does not travel. */
  #field(number: number, value: number): void {
    if (value <= 0) return;
    this.#operation[this.#length++] = number << 3;
    let rest = value;
    for (; rest > 127; rest >>>= 7) this.#operation[this.#length++] = (rest & 127) | 128;
    this.#operation[this.#length++] = rest;
  }
}

/**
 * Reads the Row that begins where the reader stands and has so many bytes.
 * @param bytes what the reader reads
 * @returns undefined when the row is no server or is for the general way; the reader then stands anywhere
 */
export function readServerRow(
  reader: BinaryReader,
  bytes: Uint8Array,
  length: number,
): SavedServer | undefined {
  const end = reader.pos + length;
  // Field 3 of Row: a ServerRow, and then nothing more.
  if (reader.uint32() !== 26 || reader.uint32() !== end - reader.pos) return undefined;
  let saved: SavedServer | undefined;
  while (reader.pos < end) {
    const tag = reader.uint32();
    // Field 1 of ServerRow is the server; the others are what it does at the moment.
    if (tag === 10) {
      saved = readServer(reader, bytes, reader.uint32());
      if (!saved) return undefined;
    } else pass(reader, tag);
  }
  return reader.pos === end ? saved : undefined;
}

/** Passes the value of a field. (`reader.skip` returns what it passed, which costs more than reading it.) */
function pass(reader: BinaryReader, tag: number): void {
  if ((tag & 7) !== 2) reader.skip(tag & 7);
  else {
    const length = reader.uint32();
    reader.pos += length;
  }
}

function readServer(reader: BinaryReader, bytes: Uint8Array, length: number): SavedServer | undefined {
  const end = reader.pos + length;
  let address = -1;
  let port = 0;
  let forward: Forward = 0;
  let weight = 0;
  let upper = 0;
  let lower = 0;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case 10:
        pass(reader, tag);
        break;
      case 18:
        if (reader.uint32() !== 4) return undefined;
        address = reader.pos;
        reader.pos += 4;
        break;
      case 24:
        port = reader.uint32();
        break;
      case 32:
        forward = reader.int32();
        break;
      case 40:
        weight = reader.uint32();
        break;
      case 48:
        upper = reader.uint32();
        break;
      case 56:
        lower = reader.uint32();
        break;
      default:
        return undefined;
    }
  }
  const way = forwardSwitches[forward];
  if (address < 0 || way === undefined || reader.pos !== end || end > bytes.length) return undefined;
  const [a, b, c, d] = [bytes[address]!, bytes[address + 1]!, bytes[address + 2]!, bytes[address + 3]!];
  const thresholds = (upper > 0 ? ` -x ${upper}` : '') + (lower > 0 ? ` -y ${lower}` : '');
  return {
    ipv4: (((a * 256 + b) * 256 + c) * 256 + d) * 65536 + port,
    switches: ` -r ${a}.${b}.${c}.${d}:${port} ${way} -w ${weight}${thresholds}`,
  };
}
