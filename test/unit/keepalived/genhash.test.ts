import { equal, match } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { skipBecause } from '../../runner/skip.js';
import { selfSigned } from '../healthcheck/peers.js';

const program = fileURLToPath(new URL('../../../../bin/keepalived', import.meta.url));
const THEIRS = '/usr/bin/genhash';

interface Ended {
  status: number | null;
  out: string;
  error: string;
}

function run(command: string, words: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let error = '';
    child.stdout.on('data', (data) => {
      out += data;
    });
    child.stderr.on('data', (data) => {
      error += data;
    });
    child.on('close', (status) => resolve({ status, out, error }));
  });
}

const ours = (...words: string[]) => run(process.execPath, [program, '--genhash', ...words]);

describe('genhash', function () {
  this.timeout(60_000);
  const certificate = selfSigned();
  const servers: Server[] = [];
  const ports = { plain: 0, tls: 0 };
  /** What the last client asked with. */
  let asked = '';

  /** Pages that differ in what a digest may stumble on. */
  const pages: Record<string, Buffer> = {
    '/': Buffer.from('hello\n'),
    '/empty': Buffer.alloc(0),
    '/binary': Buffer.from(Array.from({ length: 100_000 }, (_, at) => (at * 7) & 255)),
    '/blank-lines': Buffer.from('\r\n\r\nbody\r\n\r\n'),
    '/not-there': Buffer.from('no such page'),
  };

  before(async () => {
    const answer: Parameters<typeof createServer>[1] = (request, response) => {
      asked = `HTTP/${request.httpVersion} ${request.rawHeaders.join(' ')}`;
      const body =
        request.url === '/name' ? Buffer.from(request.headers.host ?? '') : pages[request.url ?? ''];
      response.statusCode = request.url === '/not-there' ? 404 : 200;
      // In pieces, with and without a length.
      if (request.url !== '/binary') response.setHeader('Content-Length', body?.length ?? 0);
      if (body && body.length > 10) response.write(body.subarray(0, 10));
      response.end(body && body.length > 10 ? body.subarray(10) : body);
    };
    const plain = createServer(answer);
    servers.push(plain);
    if (certificate) servers.push(createTlsServer(certificate, answer) as unknown as Server);
    for (const server of servers)
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ports.plain = (plain.address() as AddressInfo).port;
    if (servers[1]) ports.tls = (servers[1].address() as AddressInfo).port;
  });
  after(() => {
    for (const server of servers) server.close();
  });

  for (const [kind, extra] of [
    ['plain', []],
    ['tls', ['-S']],
  ] as const) {
    it(`${kind}: the sum of the body, the same as keepalived's own genhash`, async function () {
      if (kind === 'tls' && !certificate) skipBecause(this, 'openssl is not installed');
      if (!existsSync(THEIRS)) skipBecause(this, 'keepalived is not installed');
      const port = String(ports[kind]);
      for (const [path, body] of Object.entries(pages)) {
        // Both ask by HTTP/1.0, so nothing is chunked.
        const words = [...extra, '-s', '127.0.0.1', '-p', port, '-u', path];
        const our = await ours(...words);
        const theirs = await run(THEIRS, words);
        equal(our.status, 0, our.error);
        equal(our.out, `${createHash('md5').update(body).digest('hex')}\n`, path);
        equal(our.out, theirs.out, path);
      }
    });
  }

  it('asks with the same words', async function () {
    if (!existsSync(THEIRS)) skipBecause(this, 'keepalived is not installed');
    const base = ['-s', '127.0.0.1', '-p', String(ports.plain), '-u', '/name'];
    for (const more of [
      [],
      ['-V', 'www.example.net'],
      ['-P', '1.0c'],
      ['-P', '1.1', '--use-virtualhost', 'x'],
    ]) {
      const our = await ours(...base, ...more);
      const ourWords = asked;
      const theirs = await run(THEIRS, [...base, ...more]);
      equal(ourWords, asked, more.join(' '));
      equal(our.out, theirs.out, more.join(' '));
    }
  });

  it('says what is wrong', async () => {
    equal((await ours('-h')).status, 1);
    match((await ours('-h')).error, /^Usage/);
    match((await ours('-s', '127.0.0.1', '-u', 'page')).error, /URL 'page' does not begin with \//);
    match((await ours('-s', '127.0.0.1', '-P', '2')).error, /no protocol '2'/);
    match((await ours('-s', '127.0.0.1', '-Q')).error, /unknown option -Q/);
    // Port 1 is closed.
    const closed = await ours('-s', '127.0.0.1', '-p', '1');
    equal(closed.status, 1);
    match(closed.error, /^genhash: Connection failed \(connect: ECONNREFUSED\)|ECONNREFUSED/);
  });
});
