/** What two ends of a byte stream tell each other about connections that share it: kind, connection and length, then bytes. */
export const READY = 0;
export const OPEN = 1;
export const DATA = 2;
export const CLOSE = 3;

const HEAD = 9;

export function frame(kind: number, connection: number, bytes: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(HEAD);
  head.writeUInt8(kind, 0);
  head.writeUInt32BE(connection, 1);
  head.writeUInt32BE(bytes.length, 5);
  return Buffer.concat([head, bytes]);
}

/** Takes the stream in pieces of any length, and calls for each whole frame. */
export function reader(
  on: (kind: number, connection: number, bytes: Buffer) => void,
): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= HEAD) {
      const length = rest.readUInt32BE(5);
      if (rest.length < HEAD + length) return;
      const [kind, connection] = [rest.readUInt8(0), rest.readUInt32BE(1)];
      const bytes = rest.subarray(HEAD, HEAD + length);
      rest = rest.subarray(HEAD + length);
      on(kind, connection, bytes);
    }
  };
}
