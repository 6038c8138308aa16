/**
 * Fixture files as captures: `node dist/test/packets/to-pcap.js [-o FOLDER] [--plain] [FILE...]`. Without files all of
 * them, into build/packets. pcapng with the sentences as comments, or with --plain classic pcap without.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { pcap, pcapng } from './capture.js';
import { framesOf } from './read.js';
import { projectRoot } from './root.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { output: { type: 'string', short: 'o' }, plain: { type: 'boolean', default: false } },
});
const fixtures = join(projectRoot, 'test', 'packets', 'fixtures');
const files =
  positionals.length > 0
    ? positionals
    : readdirSync(fixtures)
        .filter((name) => name.endsWith('.txt'))
        .map((name) => join(fixtures, name));
const folder = values.output ?? join(projectRoot, 'build', 'packets');
mkdirSync(folder, { recursive: true });
for (const file of files) {
  const frames = framesOf(readFileSync(file, 'utf8'));
  const target = join(folder, basename(file, '.txt') + (values.plain ? '.pcap' : '.pcapng'));
  writeFileSync(target, values.plain ? pcap(frames) : pcapng(frames));
  console.log(`${target}: ${frames.length} frames`);
}
