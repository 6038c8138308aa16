import { spawnSync } from 'node:child_process';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from 'node:tls';

/** A TCP server on a port of its own choice that can go away and come back on it. */
export class TcpPeer {
  port = 0;
  accepted = 0;
  readonly #talk: (socket: Socket) => void;
  readonly #make: (talk: (socket: Socket) => void) => Server;
  #server: Server | undefined;
  readonly #sockets = new Set<Socket>();

  private constructor(talk: (socket: Socket) => void, make: (talk: (socket: Socket) => void) => Server) {
    this.#talk = talk;
    this.#make = make;
  }

  /** @param talk what it does with each connection */
  static async start(talk: (socket: Socket) => void = () => {}, address = '127.0.0.1'): Promise<TcpPeer> {
    const peer = new TcpPeer(talk, (serve) => createServer(serve));
    await peer.open(address);
    return peer;
  }

  static async startTls(talk: (socket: TLSSocket) => void, options: TlsOptions): Promise<TcpPeer> {
    const peer = new TcpPeer(talk as (socket: Socket) => void, (serve) => createTlsServer(options, serve));
    await peer.open();
    return peer;
  }

  async open(address = '127.0.0.1'): Promise<void> {
    const server = this.#make((socket) => {
      this.accepted++;
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
      this.#talk(socket);
    });
    server.on('tlsClientError', () => {});
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.port, address, resolve);
    });
    this.port = (server.address() as { port: number }).port;
    this.#server = server;
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    if (server) await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

/** A UDP server. */
export class UdpPeer {
  port = 0;
  received: Buffer[] = [];
  /** What it answers to a datagram; undefined: nothing. Several answers as a list. */
  answer: (message: Buffer) => Buffer | Buffer[] | undefined;
  #socket: UdpSocket | undefined;

  private constructor(answer: (message: Buffer) => Buffer | Buffer[] | undefined) {
    this.answer = answer;
  }

  static async start(
    answer: (message: Buffer) => Buffer | Buffer[] | undefined = () => undefined,
  ): Promise<UdpPeer> {
    const peer = new UdpPeer(answer);
    await peer.open();
    return peer;
  }

  async open(): Promise<void> {
    const socket = createSocket('udp4');
    socket.on('message', (message, sender) => {
      this.received.push(message);
      const reply = this.answer(message);
      for (const datagram of Array.isArray(reply) ? reply : reply ? [reply] : []) {
        socket.send(datagram, sender.port, sender.address);
      }
    });
    await new Promise<void>((resolve) => socket.bind(this.port, '127.0.0.1', resolve));
    this.port = socket.address().port;
    this.#socket = socket;
  }

  async close(): Promise<void> {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket) await new Promise<void>((resolve) => socket.close(() => resolve()));
  }
}

/** A self-signed certificate made by openssl; undefined when there is none on this machine. */
export function selfSigned(): { key: Buffer; cert: Buffer } | undefined {
  const folder = mkdtempSync(join(tmpdir(), `certificate-${process.pid}-`));
  try {
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const made = spawnSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
        ...['-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=real.example'],
      ],
      { stdio: 'ignore' },
    );
    return made.status === 0 ? { key: readFileSync(key), cert: readFileSync(cert) } : undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
