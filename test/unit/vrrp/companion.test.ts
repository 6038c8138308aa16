import { equal, notEqual, ok } from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultGlobal } from '../../../keepalived/model/global.js';
import { globalDefaults } from '../../../keepalived/model/vrrp.js';
import { Log } from '../../../lib/log.js';
import { Companion } from '../../../vrrp/companion-client.js';
import type { CompanionReport } from '../../../vrrp/companion-protocol.js';

describe('companion of VRRP', function () {
  this.timeout(60_000);
  let folder: string;
  let companion: Companion;
  const lines: string[] = [];
  const reports: CompanionReport[] = [];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), `companion-${process.pid}-`));
    companion = new Companion(
      (report) => reports.push(report),
      new Log((_severity, line) => lines.push(line)),
      { interval: 100, limit: 4000 },
    );
  });
  afterEach(async () => {
    await companion.end();
    rmSync(folder, { recursive: true, force: true });
  });

  async function until(what: string, holds: () => boolean): Promise<void> {
    const end = Date.now() + 30_000;
    while (!holds()) {
      if (Date.now() > end) throw new Error(`in vain: ${what}\n${lines.join('\n')}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  const value = () => reports.flatMap((report) => (report.type === 'file' ? [report.value] : [])).at(-1);

  it('is replaced when it hangs, and the next one does its work', async () => {
    const file = join(folder, 'tracked');
    writeFileSync(file, '7\n');
    companion.configure({
      type: 'configure',
      global: defaultGlobal(),
      scripts: [],
      files: [{ name: 'f', path: file, weight: 1, reverse: false }],
      processes: [],
      firewall: globalDefaults('a').firewall,
      refused: [],
    });
    await until('the first report', () => value() === 7);
    const { pid } = companion;
    ok(pid);
    // As long as it answers it stays.
    await new Promise((resolve) => setTimeout(resolve, 500));
    equal(companion.pid, pid);
    process.kill(pid, 'SIGSTOP');
    await until('a replacement', () => companion.pid !== undefined && companion.pid !== pid);
    ok(lines.some((line) => line.includes(`(pid ${pid}) has not answered for 4 seconds, it is replaced`)));
    writeFileSync(file, '9\n');
    await until('a report of the next one', () => value() === 9);
    notEqual(companion.pid, pid);
  });
});
