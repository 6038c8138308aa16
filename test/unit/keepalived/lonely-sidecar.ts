// A sidecar for sidecar.test.ts: goes on alone for so many milliseconds, and says what happens to it in the file ARGV[2].
import { appendFileSync } from 'node:fs';
import { runSidecar } from '../../../keepalived/sidecar.js';
import { Log } from '../../../lib/log.js';

const [alone = '', file = ''] = process.argv.slice(2);
const tell = (line: string) => appendFileSync(file, `${line}\n`);

runSidecar<string>(
  {
    name: 'vrrp',
    ...(alone === '' ? {} : { alone: Number(alone) }),
    onModel: (part) => tell(`model ${part}`),
    onDump: () => '',
    onStop: (reason) => tell(reason),
  },
  new Log((_severity, line) => tell(line)),
);
