// Runs in the virtual machine: PORT SOCKET. Connections to dpvsd's control socket there come by a serial port, so that the tools,
// each of which starts a Node, run outside, where that takes a tenth of a second instead of several.
import { createReadStream, createWriteStream, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { CLOSE, DATA, frame, OPEN, READY, reader } from './frames.js';

const [port = '', socket = ''] = process.argv.slice(2);
// Such a port can be opened once.
const fd = openSync(port, 'r+');
const out = createWriteStream('', { fd });
const open = new Map<number, Socket>();

const take = reader((kind, connection, bytes) => {
  if (kind === OPEN) {
    const made = connect(socket);
    open.set(connection, made);
    made.on('data', (chunk) => out.write(frame(DATA, connection, chunk)));
    made.on('error', () => {});
    made.on('close', () => {
      open.delete(connection);
      out.write(frame(CLOSE, connection));
    });
  } else if (kind === DATA) open.get(connection)?.write(bytes);
  else open.get(connection)?.end();
});
createReadStream('', { fd }).on('data', (chunk) => take(chunk as Buffer));
out.write(frame(READY, 0));
