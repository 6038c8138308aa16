import { createServer, type Server, type Socket } from 'node:net';
import { CLOSE, DATA, frame, OPEN, READY, reader } from './frames.js';

/** The near end of the relay: a Unix socket here that stands for one in the virtual machine. */
export class Line {
  readonly #server: Server;
  readonly #open = new Map<number, Socket>();
  #number = 0;
  ready = false;

  /**
   * @param wire the serial port that the relay holds in the virtual machine
   * @param path of the socket
   */
  constructor(
    readonly wire: Socket,
    path: string,
  ) {
    const take = reader((kind, connection, bytes) => {
      if (kind === READY) this.ready = true;
      else if (kind === DATA) this.#open.get(connection)?.write(bytes);
      else if (kind === CLOSE) this.#open.get(connection)?.end();
    });
    wire.on('data', (chunk: Buffer) => take(chunk));
    this.#server = createServer((socket) => {
      const connection = ++this.#number;
      this.#open.set(connection, socket);
      wire.write(frame(OPEN, connection));
      socket.on('data', (chunk) => wire.write(frame(DATA, connection, chunk)));
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#open.delete(connection);
        wire.write(frame(CLOSE, connection));
      });
    }).listen(path);
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#open.values()) socket.destroy();
    this.wire.destroy();
  }
}
