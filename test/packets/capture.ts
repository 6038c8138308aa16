/** Capture files: classic pcap, and pcapng, which carries a comment with each packet. */

export interface Frame {
  /** Microseconds. */
  at: number;
  bytes: Uint8Array;
  comment?: string;
}

const ETHERNET = 1;
const SNAPLEN = 65535;

function block(type: number, body: Buffer): Buffer {
  const length = 12 + body.length;
  const whole = Buffer.alloc(length);
  whole.writeUInt32LE(type, 0);
  whole.writeUInt32LE(length, 4);
  body.copy(whole, 8);
  whole.writeUInt32LE(length, length - 4);
  return whole;
}

function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}

function commentOption(comment: string): Buffer {
  const value = Buffer.from(comment);
  const head = Buffer.alloc(4);
  head.writeUInt16LE(1, 0);
  head.writeUInt16LE(value.length, 2);
  return Buffer.concat([head, padded(value), Buffer.alloc(4)]);
}

export function pcapng(frames: readonly Frame[]): Buffer {
  const section = Buffer.alloc(16);
  section.writeUInt32LE(0x1a2b3c4d, 0);
  section.writeUInt16LE(1, 4);
  section.writeBigInt64LE(-1n, 8);
  const interfaceBody = Buffer.alloc(8);
  interfaceBody.writeUInt16LE(ETHERNET, 0);
  interfaceBody.writeUInt32LE(SNAPLEN, 4);
  return Buffer.concat([
    block(0x0a0d0d0a, section),
    block(1, interfaceBody),
    ...frames.map((frame) => {
      const head = Buffer.alloc(20);
      head.writeUInt32LE(Math.floor(frame.at / 2 ** 32), 4);
      head.writeUInt32LE(frame.at % 2 ** 32, 8);
      head.writeUInt32LE(frame.bytes.length, 12);
      head.writeUInt32LE(frame.bytes.length, 16);
      const options = frame.comment ? commentOption(frame.comment) : Buffer.alloc(0);
      return block(6, Buffer.concat([head, padded(frame.bytes), options]));
    }),
  ]);
}

export function pcap(frames: readonly Frame[]): Buffer {
  const head = Buffer.alloc(24);
  head.writeUInt32LE(0xa1b2c3d4, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(SNAPLEN, 16);
  head.writeUInt32LE(ETHERNET, 20);
  return Buffer.concat([
    head,
    ...frames.flatMap((frame) => {
      const record = Buffer.alloc(16);
      record.writeUInt32LE(Math.floor(frame.at / 1e6), 0);
      record.writeUInt32LE(frame.at % 1e6, 4);
      record.writeUInt32LE(frame.bytes.length, 8);
      record.writeUInt32LE(frame.bytes.length, 12);
      return [record, Buffer.from(frame.bytes)];
    }),
  ]);
}
