import { lookup } from 'node:dns/promises';
import { HttpJudge, httpCheck } from '../healthcheck/http-check.js';
import type { Verdict } from '../healthcheck/probe.js';
import { success } from '../healthcheck/probe.js';
import { Reactor } from '../healthcheck/sockets.js';
import { systemClock } from '../lib/clock.js';
import { Log, stderrSink } from '../lib/log.js';
import { normalAddress } from './grammar/address.js';
import type { HttpCheck } from './model/virtual-server.js';

const USAGE = `Usage: keepalived --genhash -s ADDRESS [-p PORT] [-u URL] [OPTION...]
  -s, --server ADDRESS          server to ask
  -p, --port PORT               its port (default 80, with -S 443)
  -u, --url URL                 path of the page (default /)
  -V, --use-virtualhost NAME    name in the Host header
  -S, --use-ssl                 ask by TLS
  -I, --use-sni                 with -S: name the virtual host in the handshake
  -P, --protocol 1.0|1.0c|1.1   HTTP version; 1.0c is 1.0 with 'Connection: close' (default 1.0)
  -t, --timeout SECONDS         for connecting, for the handshake and for each read (default 5)
  -m, --fwmark MARK             mark of the socket
  -v, --verbose                 print status and length as well
  -h, --help                    print this text
`;

/** Long names and whether a value follows, by short name. */
const forms: Record<string, { long: string; value: boolean }> = {
  s: { long: 'server', value: true },
  p: { long: 'port', value: true },
  u: { long: 'url', value: true },
  V: { long: 'use-virtualhost', value: true },
  S: { long: 'use-ssl', value: false },
  I: { long: 'use-sni', value: false },
  P: { long: 'protocol', value: true },
  t: { long: 'timeout', value: true },
  m: { long: 'fwmark', value: true },
  v: { long: 'verbose', value: false },
  h: { long: 'help', value: false },
};

/** Options by short name, or what is wrong. */
function read(argv: readonly string[]): Map<string, string> | string {
  const given = new Map<string, string>();
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at]!;
    const [, name = '', attached] = /^--([a-z-]+)(?:=(.*))?$/s.exec(word) ?? [];
    const letter = name ? Object.keys(forms).find((one) => forms[one]!.long === name) : word[1];
    const form = letter === undefined || !word.startsWith('-') ? undefined : forms[letter];
    if (letter === undefined || !form) return `unknown option ${word}`;
    const rest = attached ?? (name || word.length === 2 ? undefined : word.slice(2));
    if (!form.value && rest !== undefined) return `${word} takes no value`;
    const value = form.value ? (rest ?? argv[++at]) : '';
    if (value === undefined) return `${word} needs a value`;
    given.set(letter, value);
  }
  return given;
}

/** What to ask, as the check would, or what is wrong. */
function checkOf(given: Map<string, string>): HttpCheck | string {
  const ssl = given.has('S');
  const address = given.get('s');
  if (!address) return 'no server';
  const port = Number(given.get('p') ?? (ssl ? 443 : 80));
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return `'${given.get('p')}' is no port`;
  const path = given.get('u') ?? '/';
  if (!path.startsWith('/')) return `URL '${path}' does not begin with /`;
  const protocol = given.get('P') ?? '1.0';
  if (protocol !== '1.0' && protocol !== '1.0c' && protocol !== '1.1') return `no protocol '${protocol}'`;
  const timeout = Number(given.get('t') ?? 5) * 1000;
  if (!(timeout > 0 && timeout <= 3_600_000)) return `no time '${given.get('t')}'`;
  const fwmark = Number(given.get('m') ?? 0);
  if (!Number.isInteger(fwmark) || fwmark < 0 || fwmark > 0xffffffff) return `no mark '${given.get('m')}'`;
  const name = given.get('V');
  return {
    kind: ssl ? 'SSL_GET' : 'HTTP_GET',
    ...{ retry: 0, delayBeforeRetry: 0, warmup: 0, delayLoop: 1000, alpha: false, logAllFailures: false },
    ...{ connectAddress: address, connectPort: port, fwmark, connectTimeout: timeout },
    ...(name === undefined ? {} : { virtualHost: name }),
    ...{ httpProtocol: protocol, enableSni: given.has('I'), fastRecovery: false, tlsCompliant: false },
    urls: [{ path, digest: '', statusCodes: [[100, 599]], tlsCompliant: false }],
  };
}

/** Takes the sum of whatever comes. */
class Summing extends HttpJudge {
  override verdict(): Verdict {
    return success;
  }
}

/**
 * `keepalived --genhash`: asks for a page as HTTP_GET and SSL_GET do and prints the MD5 sum of its body, for `digest`.
 * @returns the exit code
 */
export async function genhash(argv: readonly string[]): Promise<number> {
  const given = read(argv);
  const check = typeof given === 'string' ? given : given.size === 0 ? '' : checkOf(given);
  if (typeof given === 'string' || typeof check === 'string' || given.has('h')) {
    const help = typeof given !== 'string' && given.has('h');
    process.stderr.write(`${!help && check ? `genhash: ${check}\n` : ''}${USAGE}`);
    return 1;
  }
  if (normalAddress(check.connectAddress) === undefined) {
    const found = await lookup(check.connectAddress).catch(() => undefined);
    if (!found) {
      process.stderr.write(`genhash: '${check.connectAddress}' is no address and has none\n`);
      return 1;
    }
    check.connectAddress = found.address;
  }
  const log = new Log(stderrSink('genhash'));
  const reactor = new Reactor(systemClock);
  let judge: Summing | undefined;
  const around = { proxy: 'none', virtualHost: undefined } as const;
  const probe = httpCheck(check, around, { reactor, log }, undefined, (url) => {
    judge = new Summing(url, undefined);
    return judge;
  });
  const verdict = await new Promise<Verdict>((resolve) => probe.run(0, resolve));
  reactor.close();
  if (verdict.outcome !== 'success' || !judge) {
    process.stderr.write(`genhash: ${verdict.outcome === 'success' ? 'no answer' : verdict.reason}\n`);
    return 1;
  }
  if (given.has('v')) process.stdout.write(`HTTP status ${judge.status}, ${judge.length} bytes\n`);
  process.stdout.write(`${judge.sum()}\n`);
  return 0;
}
