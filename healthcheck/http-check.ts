import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { createContext, Script as VmScript } from 'node:vm';
import type { HttpCheck, HttpUrl, SslContext } from '../keepalived/model/virtual-server.js';
import type { Log } from '../lib/log.js';
import { HttpResponse } from './http-response.js';
import { compilePattern } from './pcre.js';
import { failure, type Probe, type ProbeContext, success, type Verdict } from './probe.js';
import type { Surroundings } from './probes.js';
import { proxyHeader } from './proxy-header.js';
import { routeOf } from './sockets.js';
import { openStream, whenSilent } from './stream.js';

/** Text that a regular expression is tried on, at most. */
const REGEX_LIMIT = 1 << 20;
/** Milliseconds of the CPU that one match may take; a pattern that explodes on an unlucky answer must not hold up all other checks. */
const REGEX_TIME = 50;
/** Bytes of one answer, at most. */
const BODY_LIMIT = 64 << 20;

/** Host that a request names: the URL's, else the checker's, the real server's, the virtual server's, else the address itself. */
export function hostOf(check: HttpCheck, url: HttpUrl, inherited: string | undefined): string {
  const configured = url.virtualHost ?? check.virtualHost ?? inherited;
  if (configured !== undefined) return configured;
  const address = check.connectAddress;
  return `${address.includes(':') ? `[${address}]` : address}:${check.connectPort}`;
}

/** The request for one URL, byte for byte as keepalived sends it. */
export function httpRequest(check: HttpCheck, url: HttpUrl, inherited: string | undefined): string {
  const version = check.httpProtocol === '1.1' ? '1.1' : '1.0';
  const connection = check.httpProtocol === '1.0' ? '' : 'Connection: close\r\n';
  return (
    `GET ${url.path} HTTP/${version}\r\nUser-Agent: KeepAliveClient\r\n${connection}` +
    `Host: ${hostOf(check, url, inherited)}\r\n\r\n`
  );
}

/** Name for SNI, when it is enabled and there is one: an address is none (RFC 6066 3). */
export function serverName(
  check: HttpCheck,
  url: HttpUrl,
  inherited: string | undefined,
): string | undefined {
  if (!check.enableSni && check.sniName === undefined) return undefined;
  const name = check.sniName ?? url.virtualHost ?? check.virtualHost ?? inherited;
  const bare = name?.replace(/:\d+$/, '');
  return bare !== undefined && bare !== '' && isIP(bare) === 0 ? bare : undefined;
}

/** Judges a response that has come in full. */
export class HttpJudge {
  readonly #url: HttpUrl;
  readonly #pattern: RegExp | undefined;
  readonly #digest = createHash('md5');
  readonly #text: Buffer[] = [];
  #kept = 0;
  #length = 0;
  #status = 0;

  constructor(url: HttpUrl, pattern: RegExp | undefined) {
    this.#url = url;
    this.#pattern = pattern;
  }

  get length(): number {
    return this.#length;
  }

  get status(): number {
    return this.#status;
  }

  set status(status: number) {
    this.#status = status;
  }

  body(bytes: Buffer): void {
    this.#length += bytes.length;
    if (this.#url.digest !== undefined) this.#digest.update(bytes);
    if (this.#pattern && this.#kept < REGEX_LIMIT) {
      const part = bytes.subarray(0, REGEX_LIMIT - this.#kept);
      this.#text.push(Buffer.from(part));
      this.#kept += part.length;
    }
  }

  /** MD5 sum of the body so far, as hex; can be taken once. */
  sum(): string {
    return this.#digest.digest('hex');
  }

  verdict(): Verdict {
    if (!this.#url.statusCodes.some(([low, high]) => this.#status >= low && this.#status <= high)) {
      return failure(`HTTP status code ${this.#status}, url(${this.#url.path}),`);
    }
    const { digest, regex } = this.#url;
    if (digest !== undefined && this.sum() !== digest.toLowerCase()) {
      return failure(`MD5 digest differs, url(${this.#url.path}),`);
    }
    if (regex && this.#pattern) {
      const encoding = this.#pattern.flags.includes('u') ? 'utf8' : 'latin1';
      const found = matches(this.#pattern, Buffer.concat(this.#text).toString(encoding), regex);
      if (found === 'too long') return failure(`regex takes too long, url(${this.#url.path}),`);
      if (found === regex.noMatch) {
        return failure(`regex ${found ? 'matches' : 'does not match'}, url(${this.#url.path}),`);
      }
    }
    return success;
  }
}

const vmContext = createContext({ pattern: /./, text: '', from: 0 });
const vmMatch = new VmScript(
  'pattern.lastIndex = from; (() => { const found = pattern.exec(text); return found ? found.index : -1; })()',
);

/** Whether the pattern matches at an offset that the limits allow. */
function matches(
  pattern: RegExp,
  text: string,
  limits: { minOffset: number; maxOffset: number },
): boolean | 'too long' {
  Object.assign(vmContext, { pattern, text, from: limits.minOffset });
  let spent = 0;
  try {
    while (spent < REGEX_TIME) {
      const before = process.cpuUsage();
      try {
        const at = vmMatch.runInContext(vmContext, { timeout: REGEX_TIME }) as number;
        return at >= 0 && (limits.maxOffset === 0 || at <= limits.maxOffset);
      } catch {
        // The limit is one of the wall clock: on a busy machine it may pass while we wait for a CPU, which is no fault of the server.
        const { user, system } = process.cpuUsage(before);
        spent += (user + system) / 1000;
      }
    }
    return 'too long';
  } finally {
    vmContext.text = '';
  }
}

/** The client side's TLS settings of the SSL block: what keepalived trusts is not verified, old protocols are spoken too. */
export function secureContext(ssl: SslContext | undefined, log: Log): SecureContext {
  if (lastContext && lastContext.ssl === ssl) return lastContext.context;
  lastContext = { ssl, context: makeContext(ssl, log) };
  return lastContext.context;
}

/** All checks of one configuration share their context. */
let lastContext: { ssl: SslContext | undefined; context: SecureContext } | undefined;

function makeContext(ssl: SslContext | undefined, log: Log): SecureContext {
  const read = (path: string | undefined): Buffer | undefined => {
    if (path === undefined) return undefined;
    try {
      return readFileSync(path);
    } catch (error) {
      log.error(`SSL: ${path} cannot be read: ${(error as Error).message}`);
      return undefined;
    }
  };
  const base = { minVersion: 'TLSv1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const;
  const [ca, cert, key] = [read(ssl?.ca), read(ssl?.certificate), read(ssl?.key)];
  try {
    return createSecureContext({
      ...base,
      ...(ca ? { ca } : {}),
      ...(cert && key ? { cert, key } : {}),
      ...(ssl?.password === undefined ? {} : { passphrase: ssl.password }),
    });
  } catch (error) {
    log.error(`SSL: certificate, key or CA cannot be used: ${(error as Error).message}`);
    return createSecureContext(base);
  }
}

/** HTTP_GET and SSL_GET: one URL per run must answer with the right status, digest and text. */
export function httpCheck(
  check: HttpCheck,
  around: Surroundings,
  context: Pick<ProbeContext, 'reactor' | 'log'>,
  ssl: SslContext | undefined,
  judgeOf = (url: HttpUrl, pattern: RegExp | undefined) => new HttpJudge(url, pattern),
): Probe {
  const route = routeOf(check);
  const proxy = proxyHeader(around.proxy);
  const secure = check.kind === 'SSL_GET' ? secureContext(ssl, context.log) : undefined;
  const patterns = check.urls.map(({ regex }) => {
    if (!regex) return undefined;
    const compiled = compilePattern(regex.pattern, regex.options);
    if (compiled instanceof RegExp) return compiled;
    context.log.error(`regex '${regex.pattern}' is left out: ${compiled.error}`);
    return undefined;
  });
  return {
    run(step, done) {
      const url = check.urls[step] ?? check.urls[0]!;
      let stop = () => {};
      stop = openStream(context.reactor, route, check.connectTimeout, (result) => {
        if ('outcome' in result) {
          done(result.outcome === 'failure' ? failure(`Connection failed (${result.reason})`) : result);
          return;
        }
        const exchange = new Exchange(check, result, judgeOf(url, patterns[step]), done);
        stop = () => exchange.abort();
        exchange.start(proxy, secure, serverName(check, url, around.virtualHost), {
          text: httpRequest(check, url, around.virtualHost),
        });
      });
      return () => stop();
    },
  };
}

class Exchange {
  readonly #check: HttpCheck;
  readonly #socket: Socket;
  readonly #judge: HttpJudge;
  readonly #done: (verdict: Verdict) => void;
  readonly #response = new HttpResponse();
  #tls: TLSSocket | undefined;
  #phase = 'TLS handshake';
  #expected: number | undefined;
  #over = false;

  constructor(check: HttpCheck, socket: Socket, judge: HttpJudge, done: (verdict: Verdict) => void) {
    this.#check = check;
    this.#socket = socket;
    this.#judge = judge;
    this.#done = done;
  }

  start(
    proxy: Buffer,
    secure: SecureContext | undefined,
    name: string | undefined,
    request: { text: string },
  ): void {
    const { connectTimeout } = this.#check;
    // Idle time, so it limits the handshake and each read by themselves.
    const heard = () => this.#socket.bytesRead + (this.#tls?.bytesRead ?? 0);
    whenSilent(this.#socket, connectTimeout, heard, () => this.#fail(`Timeout in ${this.#phase}`));
    this.#socket.on('error', (error: NodeJS.ErrnoException) => this.#broken(error));
    if (proxy.length > 0) this.#socket.write(proxy);
    let stream: Socket = this.#socket;
    const ask = () => {
      this.#phase = 'reading';
      stream.write(request.text, 'latin1');
    };
    if (secure) {
      this.#tls = connectTls({
        socket: this.#socket,
        secureContext: secure,
        rejectUnauthorized: false,
        ...(name === undefined ? {} : { servername: name }),
      });
      stream = this.#tls;
      this.#tls.on('secureConnect', ask);
    } else ask();
    stream.on('error', (error: NodeJS.ErrnoException) => this.#broken(error));
    stream.on('data', (chunk: Buffer) => this.#data(chunk));
    stream.on('end', () => this.#ended());
    stream.on('close', () => this.#ended());
  }

  abort(): void {
    if (this.#over) return;
    this.#over = true;
    this.#close();
  }

  #data(chunk: Buffer): void {
    if (this.#over) return;
    for (const event of this.#response.push(chunk)) {
      if (this.#over) return;
      if (event.kind === 'fault') {
        this.#fail(event.reason);
        return;
      }
      if (event.kind === 'head') {
        this.#judge.status = event.status;
        this.#expected = event.contentLength;
      } else {
        const left = this.#expected === undefined ? event.bytes.length : this.#expected - this.#judge.length;
        this.#judge.body(event.bytes.subarray(0, left));
        if (this.#judge.length > BODY_LIMIT) {
          this.#fail('Answer too long');
          return;
        }
      }
    }
    if (this.#over) return;
    if (this.#response.headComplete && this.#expected !== undefined && this.#judge.length >= this.#expected) {
      this.#finish(this.#judge.verdict());
    }
  }

  #ended(): void {
    if (this.#over) return;
    if (this.#response.headComplete) this.#finish(this.#judge.verdict());
    else this.#fail(this.#phase === 'reading' ? 'Empty or incomplete answer' : `Closed in ${this.#phase}`);
  }

  #broken(error: NodeJS.ErrnoException): void {
    // A server that resets after its whole answer has answered all the same.
    if (error.code === 'ECONNRESET' && this.#response.headComplete && this.#expected === undefined)
      this.#ended();
    else
      this.#fail(
        `${this.#phase === 'reading' ? 'Reading' : this.#phase} failed (${error.code ?? error.message})`,
      );
  }

  #fail(reason: string): void {
    this.#finish(failure(reason));
  }

  #finish(verdict: Verdict): void {
    if (this.#over) return;
    this.#over = true;
    this.#close();
    this.#done(verdict);
  }

  #close(): void {
    // tls_compliant: say goodbye with close_notify before the connection goes (RFC 8446 6.1).
    if (this.#tls && (this.#check.tlsCompliant || this.#check.urls.some((url) => url.tlsCompliant))) {
      const { _handle } = this.#socket as unknown as { _handle?: unknown };
      if (_handle) {
        this.#tls.end();
        setImmediate(() => this.#tls?.destroy());
        return;
      }
    }
    this.#tls?.destroy();
    this.#socket.destroy();
  }
}
