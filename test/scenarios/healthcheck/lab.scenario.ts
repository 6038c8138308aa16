import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Running, until } from '../../../lab/command.js';
import type { Lab } from '../../../lab/lab.js';
import { HTTP_PORT, UDP_PORT } from '../../../lab/ports.js';
import { failures, Traffic } from '../../../lab/traffic-plan.js';
import { assertAllAnswered, onLab, standingServices, url } from '../support.js';

const bin = fileURLToPath(new URL('../../../../bin/keepalived', import.meta.url));
const hex = (text: string) => Buffer.from(text).toString('hex');

/** A plain keepalived.conf: HTTP with TCP checks and the UDP service with payload and reply, both FullNAT. */
function configuration(lab: Lab, weights: number[] = []): string {
  const { plan } = lab;
  const servers = (port: number, check: string) =>
    lab.servers
      .map(
        ({ address }, index) =>
          `  real_server ${address.v4} ${port} {\n    weight ${weights[index] ?? 1}\n    ${check}\n  }\n`,
      )
      .join('');
  const quick = 'connect_timeout 1\n      retry 0\n';
  const udp = `payload ${hex('probe')}\n      require_reply 7273xx20${hex('probe')}\n      min_reply_length 9`;
  const service = (protocol: string, port: number, check: string) => `
virtual_server ${plan.virtual.v4} ${port} {
  delay_loop 1
  lb_algo wrr
  lb_kind FNAT
  protocol ${protocol}
  laddr_group_name locals
${servers(port, check)}}
`;
  return `global_defs {
  lvs_director dpvsd ${lab.record.ipc}
}
local_address_group locals {
${plan.locals.map(({ v4 }) => `  ${v4} ${plan.innerDevice}\n`).join('')}}
${service('TCP', HTTP_PORT, `TCP_CHECK {\n      ${quick}    }`)}
${service('UDP', UDP_PORT, `UDP_CHECK {\n      ${quick}      ${udp}\n    }`)}`;
}

onLab({ title: 'health checks end to end', services: false }, (stage) => {
  let keepalived: Running;
  let file = '';
  const traffic: Traffic[] = [];

  /** Requests to both services. */
  function load(): Traffic {
    const { lab } = stage;
    const made = new Traffic(lab.client, {
      targets: [
        { kind: 'http', url: url(lab, 'v4') },
        { kind: 'udp', address: lab.plan.virtual.v4, port: UDP_PORT },
      ],
      perSecond: 100,
      seconds: 60,
      limit: 10_000,
    });
    traffic.push(made);
    return made;
  }

  /** `192.168.200.11:80 1`: servers in the dataplane with their weights, sorted. */
  async function table(): Promise<string[]> {
    const text = await stage.lab.director.ipvsadm(['-ln']);
    return [...text.matchAll(/-> (\S+)\s+FullNat\s+(\d+)/g)]
      .map(([, server, weight]) => `${server} ${weight}`)
      .sort();
  }
  const rows = (weights: Record<number, number>): string[] =>
    Object.entries(weights)
      .flatMap(([index, weight]) =>
        [HTTP_PORT, UDP_PORT].map(
          (port) => `${stage.lab.servers[Number(index)]!.address.v4}:${port} ${weight}`,
        ),
      )
      .sort();
  const becomes = (what: string, expected: string[], limit = 15_000) =>
    until(what, async () => (await table()).join() === expected.join(), { limit });

  before(() => {
    const { lab } = stage;
    const at = (name: string) => join(lab.record.folder, name);
    file = at('keepalived.conf');
    writeFileSync(file, configuration(lab));
    // The kernel of the director's host is silent in this lab: the checks go out from the host beside it.
    keepalived = lab.network.router.start([
      ...[process.execPath, bin, '-C', '-n', '-l', '-f', file],
      ...['-p', at('keepalived.pid'), '-c', at('checkers.pid')],
    ]);
  });
  after(async () => {
    for (const each of traffic) await each.stop();
    await keepalived?.stop();
  });

  stage.it('the file alone puts services and servers in, and requests are answered', async () => {
    await becomes('all servers', rows({ 0: 1, 1: 1, 2: 1 }));
    const steady = load();
    await until('answers of all', () => steady.total.byServer.size === 3 && steady.total.requests > 200);
    await steady.stop();
    assertAllAnswered(steady.total, 200);
  });

  stage.it(
    'a killed server leaves within a check period, no later request fails, and it returns',
    async () => {
      const steady = load();
      await until('answers', () => (steady.total.byServer.get('rs3') ?? 0) > 20);
      const killed = Date.now();
      await stage.lab.servers[2]!.stop();
      await becomes('rs3 out', rows({ 0: 1, 1: 1 }));
      const removed = Date.now();
      // One period of a second, its variation, and the pauses of a busy machine.
      assert.ok(removed - killed < 5000, `${removed - killed} ms`);
      const before = steady.total.requests;
      await until('further requests', () => steady.total.requests > before + 200);
      await stage.lab.servers[2]!.start();
      await becomes('rs3 back', rows({ 0: 1, 1: 1, 2: 1 }));
      const answers = steady.total.byServer.get('rs3') ?? 0;
      await until('answers of rs3 again', () => (steady.total.byServer.get('rs3') ?? 0) > answers + 20);
      await steady.stop();
      assert.deepEqual(
        steady.total.failed.filter((began) => began > removed),
        [],
        `${failures(steady.total)} requests failed`,
      );
    },
  );

  stage.it('a reload changes weights while requests go on', async () => {
    const steady = load();
    await until('answers', () => steady.total.requests > 50);
    writeFileSync(file, configuration(stage.lab, [1, 5, 1]));
    keepalived.kill('SIGHUP');
    await becomes('weight 5', rows({ 0: 1, 1: 5, 2: 1 }));
    const before = steady.total.requests;
    await until('further requests', () => steady.total.requests > before + 50);
    await steady.stop();
    assertAllAnswered(steady.total, 100);
  });

  stage.it('a killed checker loses no request and comes back to the same table', async () => {
    const steady = load();
    await until('answers', () => steady.total.requests > 50);
    const pidFile = join(stage.lab.record.folder, 'checkers.pid');
    const pid = Number(readFileSync(pidFile, 'utf8'));
    process.kill(pid, 'SIGKILL');
    await until('another checker', () => Number(readFileSync(pidFile, 'utf8') || pid) !== pid, {
      limit: 15_000,
    });
    const before = steady.total.requests;
    await until('further requests', () => steady.total.requests > before + 200);
    assert.deepEqual(await table(), rows({ 0: 1, 1: 5, 2: 1 }));
    await steady.stop();
    assertAllAnswered(steady.total, 200);
  });

  stage.it('a dataplane that starts anew has everything again within a second', async () => {
    const { lab } = stage;
    const { ipc } = lab.record;
    const before = await standingServices(ipc);
    assert.ok(before.length > 0);
    // At once, and when the pauses between attempts to connect are as long as they get.
    for (const away of [0, 3000]) {
      await lab.director.kill();
      await new Promise((resolve) => setTimeout(resolve, away));
      const starting = lab.director.start();
      await until('the control socket', async () => (await standingServices(ipc)).length >= 0, { every: 5 });
      const answered = performance.now();
      await until(
        'everything again',
        async () => (await standingServices(ipc)).join('\n') === before.join('\n'),
        {
          every: 5,
        },
      );
      const took = performance.now() - answered;
      console.log(`      all services ${took.toFixed(0)} ms after the control socket`);
      assert.ok(took < 1000, `${took} ms`);
      await starting;
    }
    assert.deepEqual(await table(), rows({ 0: 1, 1: 5, 2: 1 }));
    await lab.director.configureAddresses();
    const steady = load();
    await until('answers', () => (steady.total.byServer.get('rs2') ?? 0) > 20);
    await steady.stop();
  });

  stage.it('an orderly end takes its services out, and leaves those of the operator', async () => {
    const { lab } = stage;
    await lab.director.ipvsadm(['-A', '-t', `${lab.plan.virtual.v4}:9999`, '-s', 'rr']);
    await keepalived.stop();
    const text = await lab.director.ipvsadm(['-ln']);
    assert.deepEqual(
      [...text.matchAll(/^(?:TCP|UDP)\s+(\S+)/gm)].map(([, service]) => service),
      [`${lab.plan.virtual.v4}:9999`],
    );
  });
});
