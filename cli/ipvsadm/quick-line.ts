// Nearly all lines of a long save or restore are services and real servers as `-S` writes them:
//     -A -t 192.168.100.254:80 -s wrr
//     -a -t 192.168.100.254:80 -r 192.168.200.2:8080 -b -w 100
// Here such lines become bytes of the control contract, and rows of the contract such lines, with no objects in between. Whatever is
// rarer (IPv6, names, quotes, other switches, mistakes) is left to the general way, which a test compares this one with.

import type { BinaryReader } from '@bufbuild/protobuf/wire';
import type { EncodedBatch } from '../../dpvsd/client.js';
import { Forward, Protocol, Service } from '../../dpvsd/generated/control.js';
import { forwardSwitches, type SavedServer } from './save.js';

const code = (character: string): number => character.charCodeAt(0);
const NEWLINE = 10;
const BLANK = 32;
const DASH = 45;
const DOT = 46;
const ZERO = 48;
const COLON = 58;
const ADD_SERVICE = code('A');
const ADD_SERVER = code('a');
const REAL_SERVER = code('r');
const SCHEDULER = code('s');
const TCP = code('t');
const UDP = code('u');
const WEIGHT = code('w');
const UPPER = code('x');
const LOWER = code('y');
/** Longest name of a scheduler that is copied: each known one is shorter. */
const NAME_MAX = 15;
const PORT_MAX = 65535;
const WEIGHT_MAX = 65535;
const THRESHOLD_MAX = 0x7fff_ffff;

/** Ways to forward by the code of their letter, -1 for other letters. */
const forwardByLetter = new Int8Array(128).fill(-1);
for (const [forward, letters] of Object.entries(forwardSwitches)) {
  forwardByLetter[letters.charCodeAt(1)] = Number(forward);
}

/** Reads lines `-A SERVICE ...` and `-a SERVICE -r SERVER ...`, and adds what they say to a batch. */
export class QuickLineReader {
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
    if (bytes[from] !== DASH || bytes[from + 2] !== BLANK || bytes[from + 3] !== DASH) return -1;
    const command = bytes[from + 1];
    const letter = bytes[from + 4];
    const protocol =
      letter === TCP
        ? Protocol.PROTOCOL_TCP
        : letter === UDP
          ? Protocol.PROTOCOL_UDP
          : Protocol.PROTOCOL_NONE;
    if (protocol === Protocol.PROTOCOL_NONE || bytes[from + 5] !== BLANK) return -1;
    this.#bytes = bytes;
    this.#at = from + 6;
    const address = this.#address();
    const port = address < 0 ? -1 : this.#port();
    if (port < 0) return -1;
    // The operation's field and the key's field; their lengths are filled in later.
    this.#length = 4;
    this.#field(1, protocol);
    this.#addressField(address);
    this.#field(3, port);
    this.#operation[2] = 10;
    this.#operation[3] = this.#length - 4;
    const read =
      command === ADD_SERVER
        ? this.#server(port)
        : command === ADD_SERVICE && port > 0
          ? this.#service()
          : false;
    if (!read || bytes[this.#at] !== NEWLINE) return -1;
    this.#operation[1] = this.#length - 2;
    batch.addEncoded(this.#operation, this.#length);
    return this.#at + 1;
  }

  /** ` -s SCHEDULER` */
  #service(): boolean {
    if (!this.#switch(SCHEDULER) || this.#bytes[this.#at++] !== BLANK) return false;
    // Operation.service, Service.scheduler.
    this.#operation[0] = 18;
    this.#operation[this.#length++] = 18;
    const length = this.#length++;
    for (let n = 0; n < NAME_MAX; n++) {
      const character = this.#bytes[this.#at]!;
      // Small letters a to z.
      if (!(character >= 97 && character <= 122)) {
        this.#operation[length] = n;
        return n > 0;
      }
      this.#operation[this.#length++] = character;
      this.#at++;
    }
    return false;
  }

  /** ` -r SERVER` and its switches. @param servicePort port of the service */
  #server(servicePort: number): boolean {
    if (!this.#switch(REAL_SERVER) || this.#bytes[this.#at++] !== BLANK) return false;
    const address = this.#address();
    const port = address < 0 ? -1 : this.#port();
    if (port < 0) return false;
    let forward = -1;
    let weight = -1;
    let upper = -1;
    let lower = -1;
    while (this.#bytes[this.#at] === BLANK) {
      if (this.#bytes[this.#at + 1] !== DASH) return false;
      const letter = this.#bytes[this.#at + 2]!;
      this.#at += 3;
      if (letter === WEIGHT || letter === UPPER || letter === LOWER) {
        const value = this.#argument(letter === WEIGHT ? WEIGHT_MAX : THRESHOLD_MAX);
        if (value < 0) return false;
        if (letter === WEIGHT && weight < 0) weight = value;
        else if (letter === UPPER && upper < 0) upper = value;
        else if (letter === LOWER && lower < 0) lower = value;
        else return false;
      } else {
        if (forward >= 0) return false;
        forward = forwardByLetter[letter] ?? -1;
        if (forward < 0) return false;
      }
    }
    if (forward < 0) forward = Forward.FORWARD_DR;
    // Operation.server, then the fields of Server.
    this.#operation[0] = 26;
    this.#addressField(address);
    // Packets that are passed on unchanged reach the service's own port.
    const unchanged = forward === Forward.FORWARD_DR || forward === Forward.FORWARD_TUNNEL;
    this.#field(3, unchanged ? servicePort : port);
    this.#field(4, forward);
    this.#field(5, weight < 0 ? 1 : weight);
    this.#field(6, upper);
    this.#field(7, lower);
    return true;
  }

  /** Passes a blank, a dash and this letter; false when something else is there. */
  #switch(letter: number): boolean {
    const at = this.#at;
    this.#at += 3;
    return this.#bytes[at] === BLANK && this.#bytes[at + 1] === DASH && this.#bytes[at + 2] === letter;
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

  /** Field 2 of ServiceKey and of Server. */
  #addressField(address: number): void {
    const operation = this.#operation;
    const at = this.#length;
    operation[at] = 18;
    operation[at + 1] = 4;
    operation[at + 2] = address >>> 24;
    operation[at + 3] = address >>> 16;
    operation[at + 4] = address >>> 8;
    operation[at + 5] = address;
    this.#length = at + 6;
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
 * Reads the Row of a real server that begins where the reader stands and has so many bytes.
 * @param bytes what the reader reads
 * @returns undefined when the row is no server or is for the general way; the reader then stands anywhere
 */
export function readServerRow(
  reader: BinaryReader,
  bytes: Uint8Array,
  length: number,
): SavedServer | undefined {
  const end = reader.pos + length;
  if (!isRowOf(SERVER_ROW, reader, end)) return undefined;
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

/** Reads the Row of a service without what the service does at the moment; otherwise like `readServerRow`. */
export function readServiceRow(reader: BinaryReader, length: number): Service | undefined {
  const end = reader.pos + length;
  if (!isRowOf(SERVICE_ROW, reader, end)) return undefined;
  let service: Service | undefined;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 10) service = Service.decode(reader, reader.uint32());
    else pass(reader, tag);
  }
  return reader.pos === end ? service : undefined;
}

/** Whether a Row that ends there has only this field. */
function isRowOf(field: number, reader: BinaryReader, end: number): boolean {
  return reader.uint32() === field && reader.uint32() === end - reader.pos;
}

/** Fields 2 and 3 of Row, as they stand on the wire. */
const SERVICE_ROW = 18;
const SERVER_ROW = 26;

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
