import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';

const USAGE = `Usage: keepalived --genhash -s HOST [-p PORT] [-u URL] [-V NAME] [-S] [-v]
  -s, --server HOST        server to ask
  -p, --port PORT          its port (default 80, with -S 443)
  -u, --url URL            path of the page (default /)
  -V, --use-virtualhost N  name in the Host header
  -S, --use-ssl            ask by TLS
  -v, --verbose            print the headers as well
`;

/**
 * `keepalived --genhash`: asks for a page and prints the MD5 sum of its body, for `digest`.
 * @returns the exit code
 */
export function genhash(argv: string[]): Promise<number> {
  let host = '';
  let port: number | undefined;
  let path = '/';
  let name: string | undefined;
  let ssl = false;
  let verbose = false;
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at];
    if (word === '-s' || word === '--server') host = argv[++at] ?? '';
    else if (word === '-p' || word === '--port') port = Number(argv[++at]);
    else if (word === '-u' || word === '--url') path = argv[++at] ?? '/';
    else if (word === '-V' || word === '--use-virtualhost') name = argv[++at];
    else if (word === '-S' || word === '--use-ssl') ssl = true;
    else if (word === '-v' || word === '--verbose') verbose = true;
    else host = '';
  }
  if (host === '' || !path.startsWith('/') || (port !== undefined && !(port > 0 && port < 65536))) {
    process.stderr.write(USAGE);
    return Promise.resolve(1);
  }
  return new Promise((resolve) => {
    const asked = (ssl ? httpsRequest : httpRequest)(
      {
        host,
        path,
        port: port ?? (ssl ? 443 : 80),
        timeout: 5000,
        headers: { Host: name ?? host, 'User-Agent': 'KeepAliveClient', Connection: 'close' },
        // Like the checks themselves: what counts is the page, not who vouches for it.
        rejectUnauthorized: false,
        ...(ssl && name !== undefined ? { servername: name } : {}),
      },
      (answer) => {
        const hash = createHash('md5');
        answer.on('data', (chunk: Buffer) => hash.update(chunk));
        answer.on('end', () => {
          if (verbose) process.stdout.write(`HTTP ${answer.statusCode} ${JSON.stringify(answer.headers)}\n`);
          process.stdout.write(`MD5SUM = ${hash.digest('hex')}\n`);
          resolve(0);
        });
        answer.on('error', fail);
      },
    );
    const fail = (error: Error) => {
      process.stderr.write(`genhash: ${error.message}\n`);
      resolve(1);
    };
    asked.on('error', fail);
    asked.on('timeout', () => asked.destroy(new Error('no answer in time')));
    asked.end();
  });
}
