import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bench, Figure } from './bench.js';

const program = fileURLToPath(new URL('../../../bin/keepalived', import.meta.url));
const reader = fileURLToPath(new URL('./keepalived-parse-reader.js', import.meta.url));

/** A file of virtual servers with ten checked servers each, as large deployments have them. */
export function bigConfiguration(virtualServers: number): string {
  const lines = ['global_defs {', '  router_id BENCH', '}'];
  for (let v = 0; v < virtualServers; v++) {
    lines.push(`virtual_server 10.${(v >> 16) & 255}.${(v >> 8) & 255}.${v & 255} 80 {`);
    lines.push('    delay_loop 6', '    lb_algo rr', '    lb_kind NAT', '    protocol TCP', '');
    for (let r = 0; r < 10; r++) {
      lines.push(
        `    real_server 192.168.${v & 255}.${r + 1} ${1000 + (v >> 8)} {`,
        '        weight 1',
        '        TCP_CHECK {',
      );
      lines.push('            connect_timeout 3', '            retry 3', '        }', '    }');
    }
    lines.push('}');
  }
  return `${lines.join('\n')}\n`;
}

interface Run {
  seconds: number;
  megabytes: number;
}

/** Wall time and greatest memory of a command; undefined when it cannot be run. */
function timed(command: string, args: string[]): Run | undefined {
  const started = process.hrtime.bigint();
  const done = spawnSync('/usr/bin/env', ['time', '-f', '%M', command, ...args], { encoding: 'utf8' });
  const plain = done.error || done.status === 127 ? spawnSync(command, args, { encoding: 'utf8' }) : done;
  if (plain.error || plain.status === null || plain.status === 127) return undefined;
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  if (plain.status !== 0)
    throw new Error(`${command} ${args.join(' ')}: exit ${plain.status}: ${plain.stderr.slice(0, 300)}`);
  return { seconds, megabytes: Math.round(Number(plain.stderr.trim().split('\n').pop()) / 1024) };
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] as number;
}

/** From the file to the moment when a sidecar has its part of the model, in seconds. */
function handedOver(file: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const child: ChildProcess = fork(reader, [file], { serialization: 'advanced' });
    let result: number | undefined;
    child.on('message', (seconds: number) => {
      result = seconds;
    });
    child.on('error', reject);
    child.on('exit', () => (result === undefined ? reject(new Error('no result')) : resolve(result)));
  });
}

/** Reading and checking a big file, next to Debian's keepalived with the same file in the same run. */
export const keepalivedParse: Bench = {
  name: 'keepalived',
  about: 'keepalived.conf: read and check, beside keepalived -t; and until a sidecar has the model',
  async run({ quick }) {
    const figures: Figure[] = [];
    const folder = mkdtempSync(join(tmpdir(), `bench-keepalived-${process.pid}-`));
    try {
      for (const virtualServers of quick ? [1000] : [1000, 10_000]) {
        const file = join(folder, 'big.conf');
        writeFileSync(file, bigConfiguration(virtualServers));
        const rounds = quick ? 3 : 5;
        const own: Run[] = [];
        const other: Run[] = [];
        const whole: number[] = [];
        // In turns, so that both see the same machine.
        for (let round = 0; round < rounds; round++) {
          const theirs = timed('keepalived', ['-t', '-f', file]);
          if (theirs) other.push(theirs);
          const ours = timed(process.execPath, [program, '-t', '-f', file]);
          if (ours) own.push(ours);
          whole.push(await handedOver(file));
        }
        const ours = median(own.map((run) => run.seconds));
        const values: Figure['values'] = {
          'ours -t s': ours,
          'ours MB': median(own.map((run) => run.megabytes)),
          'to sidecar s': median(whole),
        };
        if (other.length > 0) {
          const theirs = median(other.map((run) => run.seconds));
          values['keepalived -t s'] = theirs;
          values['keepalived MB'] = median(other.map((run) => run.megabytes));
          values['ratio -t'] = ours / theirs;
          values['ratio to sidecar'] = median(whole) / theirs;
        } else {
          values.keepalived = 'not installed';
        }
        figures.push({ case: `${virtualServers * 10} real servers`, values });
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
    return figures;
  },
};
