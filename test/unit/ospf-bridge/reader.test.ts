import { equal, match, ok } from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultOspfBridge, type OspfBridge } from '../../../keepalived/model/ospf-bridge.js';
import { VirtualClock } from '../../../lib/clock.js';
import { Log } from '../../../lib/log.js';
import { Reader } from '../../../ospf-bridge/reader.js';

const address = '10.99.0.1';
const lsa = `
  LS age: 6
  Link State ID: ${address} (External Network Number)
  Network Mask: /32
        Metric: 20
`;
/** A daemon that is as it should be. */
const well = (command: string): string => {
  if (command === 'show version') return 'FRRouting 8.4.4 (host).\n';
  if (command === 'show ip ospf') return ' OSPF Routing Process, Router ID: 1.1.1.1\n';
  return command.startsWith('show ip ospf database external') ? lsa : '';
};

describe('reading back from a routing daemon', () => {
  let folder: string;
  let servers: { server: Server; sockets: Set<Socket> }[];
  let reader: Reader | undefined;
  let said: string[];
  let clock: VirtualClock;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'reader-'));
    servers = [];
    said = [];
    clock = new VirtualClock(1_000_000);
  });
  afterEach(async () => {
    reader?.close();
    for (const { server, sockets } of servers) {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    }
    rmSync(folder, { recursive: true, force: true });
  });

  function begin(change: Partial<OspfBridge> = {}): void {
    const log = new Log((severity, line) => said.push(`${severity} ${line}`));
    reader = new Reader(
      clock,
      log,
      { ...defaultOspfBridge(), vty: folder, ...change },
      {
        families: () => new Set([4]),
        expected: () => [
          {
            address,
            standing: 'announced',
            wish: { standing: 'announced', reason: 'test' },
            since: Number.NEGATIVE_INFINITY,
            penalty: 0,
            suppressed: false,
            error: undefined,
          },
        ],
      },
    );
  }

  /** Something that listens. @returns the clock's times of its connections */
  async function listen(where: string | number, handle: (socket: Socket) => void): Promise<number[]> {
    const times: number[] = [];
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      times.push(clock.now());
      sockets.add(socket);
      socket.on('error', () => {});
      handle(socket);
    });
    servers.push({ server, sockets });
    await new Promise<void>((resolve) =>
      typeof where === 'number' ? server.listen(where, '127.0.0.1', resolve) : server.listen(where, resolve),
    );
    return times;
  }

  /** A Unix VTY that answers each command as `answer` says. */
  const vty =
    (answer: (command: string) => { text: string; code: number } | undefined) => (socket: Socket) => {
      let rest = '';
      socket.on('data', (data) => {
        const commands = (rest + data.toString()).split('\0');
        rest = commands.pop() ?? '';
        for (const command of commands) {
          const given = answer(command);
          if (given)
            socket.write(Buffer.concat([Buffer.from(`${given.text}\0\0\0`), Buffer.from([given.code])]));
        }
      });
    };

  /** Lets time pass, with room for what sockets do, until this is so. */
  async function until(condition: () => boolean): Promise<void> {
    for (let count = 0; !condition(); count++) {
      ok(count < 3000, said.join('\n'));
      clock.advance(250);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  it('nobody there: said once, tried again with growing pauses, and when it is there that is said', async () => {
    begin();
    await until(() => said.length === 1);
    match(said[0]!, /^err cannot read back from the routing daemon: nothing listens at .*ospfd\.vty: is the/);
    const before = clock.now();
    await until(() => clock.now() - before > 200_000);
    equal(said.length, 1);
    const times = await listen(
      `${folder}/ospfd.vty`,
      vty((command) => ({ text: well(command), code: 0 })),
    );
    await until(() => said.length > 1);
    match(said[1]!, /^info the routing daemon answers again: FRRouting 8\.4\.4/);
    equal(times.length, 1);
  });

  it('a daemon that breaks off each time is asked with pauses that grow to half a minute', async () => {
    const times = await listen(`${folder}/ospfd.vty`, (socket) => socket.end('half an ans'));
    begin();
    await until(() => times.length > 9);
    const pauses = times.slice(1).map((time, index) => time - times[index]!);
    // A dialogue that ends in the midst is tried a second time at once only when it has worked before.
    ok(pauses[0]! < 4000, pauses.join());
    for (const [index, pause] of pauses.entries())
      if (index > 0) ok(pause >= Math.min(29_000, 1.4 * pauses[index - 1]!), pauses.join());
    ok(pauses.at(-1)! < 35_000, pauses.join());
    equal(said.length, 1);
    match(said[0]!, /closed the connection/);
  });

  it('a daemon of another version: the command that it does not know is named', async () => {
    const commands: string[] = [];
    await listen(
      `${folder}/ospfd.vty`,
      vty((command) => {
        commands.push(command);
        return command.includes('database')
          ? { text: '% Unknown command.\n', code: 2 }
          : { text: well(command), code: 0 };
      }),
    );
    begin();
    await until(() => said.length > 0);
    match(said[0]!, /'show ip ospf database external self-originate': % Unknown command/);
    const asked = commands.length;
    await until(() => commands.length > asked);
    equal(said.length, 1);
  });

  it('a daemon of another language, or one that never ends', async () => {
    let endless = 0;
    await listen(`${folder}/ospfd.vty`, (socket) => {
      const chunk = Buffer.alloc(1 << 20, 'x');
      const more = () => {
        while (!socket.destroyed && socket.write(chunk)) endless++;
      };
      socket.on('drain', more);
      more();
    });
    begin();
    await until(() => said.length > 0);
    match(said[0]!, /says more than can be true/);
    ok(endless < 200);
  });

  it('a wrong password is told as such, and an answer of megabytes is read', async () => {
    const port = await new Promise<number>((resolve) => {
      const server = createServer().listen(0, '127.0.0.1', () => {
        const { port: free } = server.address() as { port: number };
        server.close(() => resolve(free));
      });
    });
    let password = 'right';
    const long = Array.from({ length: 20_000 }, () => lsa).join('');
    await listen(port, (socket) => {
      let state: 'password' | 'view' | 'enabled' = 'password';
      let tries = 0;
      socket.write('\r\nUser Access Verification\r\n\r\nPassword: ');
      socket.on('data', (data) => {
        const word = data.toString().trim();
        if (state === 'password') {
          if (word === password) state = 'view';
          else if (++tries > 2) return socket.end('% Bad passwords, too many failures!\r\n');
          else return socket.write('\r\nPassword: ');
        } else if (word === 'enable') state = 'enabled';
        const answer = word.includes('external') ? long : word === password ? '' : well(word);
        return socket.write(
          `${word}\r\n${answer.replaceAll('\n', '\r\n')}d1${state === 'view' ? '>' : '#'} `,
        );
      });
    });
    begin({ telnet: { host: '127.0.0.1', port, port6: port }, password: 'wrong' });
    await until(() => said.length > 0);
    match(said[0]!, /refuses the password: compare 'password' with the daemon's/);
    password = 'wrong';
    await until(() => said.length > 1);
    match(said[1]!, /answers again/);
    await until(() => said.length > 2);
    ok(!said.some((line) => line.includes('does not announce')), said.join('\n'));
  });

  it('a socket that may not be used is told with the group that may', async function () {
    if (process.getuid?.() === 0) {
      // Root may everything: as somebody else, for as long as the connection takes.
      await listen(
        `${folder}/ospfd.vty`,
        vty(() => ({ text: '', code: 0 })),
      );
      chmodSync(folder, 0o700);
      process.seteuid?.(65534);
    } else this.skip();
    try {
      begin();
      await until(() => said.length > 0);
    } finally {
      process.seteuid?.(0);
    }
    match(said[0]!, /no permission for .*ospfd\.vty: run as root or as a member of .*frrvty/);
    await until(() => said.length > 1);
    match(said[1]!, /answers again/);
  });
});
