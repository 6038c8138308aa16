import { deepEqual, equal, match } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { OspfBridgePart } from '../../../keepalived/model/index.js';
import type { OspfBridge } from '../../../keepalived/model/ospf-bridge.js';
import { parse } from '../../../keepalived/parse.js';
import { bridgePart } from '../../../keepalived/resolve/ospf-bridge.js';
import { writeModel } from '../../../keepalived/write.js';
import { setupTexts } from '../../../ospf-bridge/command/setup.js';
import { skipBecause } from '../../runner/skip.js';

const conf = fileURLToPath(new URL('../../../../conf/', import.meta.url));
const none = { releaseVips: false, dontReleaseVrrp: false, dontReleaseIpvs: false, addressMonitoring: false };

function sample(change: Partial<OspfBridge> = {}): OspfBridgePart {
  const { model } = parse(`${conf}keepalived.conf.ospf.sample`, { interfaceExists: () => true });
  const part = bridgePart(model, none);
  return { ...part, bridge: { ...part.bridge, ...change } };
}

/** A sample file without the comments at its head. */
const text = (name: string) => readFileSync(conf + name, 'utf8').replace(/^([!#][^\n]*\n)+/, '');

/** Everything that `setup` prints, for a file that all daemons read. */
const integrated = (part: OspfBridgePart) =>
  setupTexts(part)
    .map((one) => one.text)
    .join('');

describe('samples of routing', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'samples-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  it('keepalived.conf.ospf.sample reads without a complaint', () => {
    const { diagnostics, model } = parse(`${conf}keepalived.conf.ospf.sample`, {
      interfaceExists: () => true,
    });
    deepEqual(
      diagnostics.findings.filter(({ kind }) => kind !== 'note').map((one) => one.text),
      [],
    );
    equal(model.ospfBridge?.spacing, 1500);
    equal(model.ospfBridge?.interfaces[0]?.bfd, 100);
  });

  it('the block is written so that it reads back as the same', () => {
    const { model } = parse(`${conf}keepalived.conf.ospf.sample`, { interfaceExists: () => true });
    const again = parse('again.conf', { text: writeModel(model), interfaceExists: () => true });
    deepEqual(again.model.ospfBridge, model.ospfBridge);
  });

  it('those for FRR, quagga and BIRD are what setup prints', () => {
    equal(text('frr.conf.director.sample'), integrated(sample()));
    const quagga = sample({ router: 'quagga', prefixes: ['192.0.2.0/24'] });
    equal(
      text('quagga.ospfd.conf.sample'),
      `hostname lb1\npassword change-me\nenable password change-me-too\n!\n${integrated(quagga)}`,
    );
    equal(text('bird.conf.director.sample'), integrated(sample({ router: 'bird' })));
  });

  it('FRR and BIRD read them', function () {
    if (!existsSync('/usr/bin/vtysh')) skipBecause(this, 'the package frr is not installed');
    const intra = join(folder, 'frr.conf');
    writeFileSync(intra, integrated(sample({ announce: 'intra_area' })));
    for (const name of [`${conf}frr.conf.director.sample`, `${conf}frr.conf.router.sample`, intra]) {
      const read = spawnSync('vtysh', ['-C', '-f', name], { encoding: 'utf8' });
      equal(`${read.stdout}${read.stderr}`.match(/^%.*|.*Unknown command.*/m)?.[0], undefined, name);
      equal(read.status, 0, `${name}: ${read.stdout}${read.stderr}`);
    }
    if (!existsSync('/usr/sbin/bird')) skipBecause(this, 'the package bird2 is not installed');
    const within = join(folder, 'bird.conf');
    writeFileSync(within, integrated(sample({ router: 'bird', announce: 'intra_area' })));
    for (const file of [`${conf}bird.conf.director.sample`, within]) {
      const read = spawnSync('bird', ['-p', '-c', file], { encoding: 'utf8' });
      equal(read.status, 0, read.stderr);
    }
  });

  it('quagga is given nothing that it does not know', () => {
    const printed = integrated(sample({ router: 'quagga' }));
    for (const word of ['bfd', 'min-arrival', 'maximum-paths']) equal(printed.includes(word), false, word);
    match(printed, /redistribute kernel .*route-map DPVS-VIP/);
    const six =
      setupTexts(sample({ router: 'quagga' })).find(({ daemon }) => daemon === 'ospf6d')?.text ?? '';
    match(six, /^router ospf6\n router-id 10\.0\.0\.1\n interface dpdk0\.kni area 0\.0\.0\.0\n/m);
    equal(six.includes('ipv6 ospf6 area'), false);
  });
});
