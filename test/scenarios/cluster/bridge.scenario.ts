import { strict as assert } from 'node:assert';
import { run, until } from '../../../lab/command.js';
import { pause, RouteMonitor, spaced, withCluster } from './support.js';

withCluster(
  { title: 'cluster: addresses within the area, OSPF and OSPFv3', announce: 'intra_area', ipv6: true },
  (of) => {
    it('are announced, drained, taken back and withdrawn in both families, and read back', async () => {
      const [first] = of().directors;
      assert.ok(first);
      const both = async (to: number[]) => {
        await of().routed(to);
        await of().routed(to, 30_000, 'fd99::1');
      };
      const told = (state: string, fits: (metric: number | null) => boolean) =>
        until(`status to be ${state}`, async () => {
          const { addresses } = await first.status();
          return addresses.every(
            (one) => one.state === state && one.seen === (state !== 'withdrawn') && fits(one.metric),
          );
        });
      await both([1, 2]);
      // The loopback device costs 10 in ospf6d of FRR 8, and nothing in that of FRR 10.
      await told('announced', (metric) => metric === 0 || metric === 10);
      assert.equal((await first.bridge('check')).code, 0);
      await spaced();
      await first.drain();
      await of().routed([2]);
      // Not asked of the router in IPv6: ospf6d of FRR 8.4 at times keeps a path among equals that has become dearer.
      await told('drained', (metric) => metric === 5000);
      await spaced();
      await first.undrain();
      await both([1, 2]);
      await spaced();
      first.health(false);
      await both([2]);
      await told('withdrawn', (metric) => metric === null);
    });
  },
);

withCluster(
  {
    title: 'cluster: addresses within the area by BIRD',
    announce: 'intra_area',
    daemon: 'bird',
    ipv6: true,
    directors: 1,
  },
  (of) => {
    it('are drained as external ones; those of IPv6 are external in any case', async () => {
      const [first] = of().directors;
      assert.ok(first);
      await of().routed([1], 30_000, 'fd99::1');
      const metrics = async () =>
        (await first.status()).addresses.map(({ state, metric }) => `${state} ${metric}`);
      await until('what BIRD announces', async () => (await metrics()).join() === 'announced 0,announced 20');
      const route = () => run(['ip', '-n', of().router.namespace, 'route', 'show', '10.99.255.1']);
      assert.match(await route(), /metric 20\s*$/);
      await spaced();
      await first.drain();
      await until('the high metrics', async () => (await metrics()).join() === 'drained 5000,drained 5000', {
        limit: 20_000,
      });
      // Nobody else has it: it is still the way.
      await of().routed([1]);
      await first.undrain();
      await until(
        'what BIRD announces',
        async () => (await metrics()).join() === 'announced 0,announced 20',
        {
          limit: 20_000,
        },
      );
      await spaced();
      first.health(false);
      await of().routed([]);
      await of().routed([], 30_000, 'fd99::1');
    });
  },
);

withCluster({ title: 'cluster: a bridge that is told other things' }, (of) => {
  /** What the director's kernel does while something happens. */
  async function changesDuring(work: () => Promise<void>): Promise<string[]> {
    const lines: string[] = [];
    const [first] = of().directors;
    assert.ok(first);
    const monitor = await RouteMonitor.start(first.host, (line) => {
      if (/10\.99\.\d+\.\d+ .*proto 201/.test(line)) lines.push(line.trim().split(/ dev/)[0] as string);
    });
    await work();
    await monitor.stop();
    return lines;
  }

  it('a reload changes what is different, and touches nothing else', async () => {
    const [first] = of().directors;
    assert.ok(first);
    const extra = (list: string) => (text: string) =>
      text
        .replace(/ *addresses \{[^}]*\}\n/, '')
        .replace('ospf_bridge {\n', `ospf_bridge {\n    addresses { ${list} }\n`);
    assert.deepEqual(
      await changesDuring(async () => {
        first.reload(extra('10.99.1.1 10.99.1.2'));
        await of().routed([1], 30_000, '10.99.1.2');
      }),
      ['10.99.1.1', '10.99.1.2'],
    );
    await spaced();
    assert.deepEqual(
      await changesDuring(async () => {
        first.reload(extra('10.99.1.2 10.99.1.3'));
        await of().routed([1], 30_000, '10.99.1.3');
        await of().routed([], 30_000, '10.99.1.1');
      }).then((lines) => lines.sort()),
      ['10.99.1.3', 'Deleted 10.99.1.1'],
    );
    await spaced();
    assert.deepEqual(
      await changesDuring(async () => {
        first.reload((text) => text.replace('ospf_bridge {\n', 'ospf_bridge {\n    when always\n'));
        await until('the reload', async () =>
          (await first.status()).addresses.every(({ reason }) => reason === 'always'),
        );
        first.health(false);
        await until('quorum to be lost', () => first.said.includes('Lost quorum'));
        await pause(500);
      }),
      [],
    );
    assert.deepEqual(
      await changesDuring(async () => {
        first.reload((text) => text.replace('    when always\n', ''));
        await of().routed([2]);
      }),
      ['Deleted 10.99.255.1'],
    );
    first.health(true);
    await of().routed([1, 2]);
  });

  it('a routing daemon that hangs holds nothing up', async () => {
    const [first] = of().directors;
    assert.ok(first);
    await spaced();
    first.daemons.kill('ospfd', 'SIGSTOP');
    const lines = await changesDuring(async () => {
      const asked = performance.now();
      const before = first.said.length;
      // Read-back is on its way into the silence while the change is made.
      void first.status().catch(() => {});
      await pause(200);
      first.health(false);
      await until('the withdrawal', () => first.said.slice(before).includes('10.99.255.1 withdrawn'));
      assert.ok(performance.now() - asked < 4000, 'the withdrawal waited for ospfd');
    });
    assert.deepEqual(lines, ['Deleted 10.99.255.1']);
    await until('a complaint', () => first.said.includes('has not answered for 5 seconds'));
    first.daemons.kill('ospfd', 'SIGCONT');
    await of().routed([2]);
    first.health(true);
    await of().routed([1, 2]);
  });

  it('drain --withdraw takes the route away, and undrain puts it back', async () => {
    const [first] = of().directors;
    assert.ok(first);
    await spaced();
    await first.drain('--withdraw');
    await of().routed([2]);
    await of().routed([], 30_000, '10.99.1.3');
    for (const { state, reason } of (await first.status()).addresses)
      assert.deepEqual({ state, reason }, { state: 'withdrawn', reason: 'drained, withdrawn' });
    await spaced();
    await first.undrain();
    await of().routed([1, 2]);
  });

  it('an address that comes and goes again and again stays out, until damping is switched off', async () => {
    const [first] = of().directors;
    assert.ok(first);
    const address = of().addresses[0];
    const stands = async () => (await first.status()).addresses.find((one) => one.address === address);
    first.reload((text) => text.replace('ospf_bridge {\n', 'ospf_bridge {\n    spacing 0.2\n'));
    // Those of the tests before count too.
    let losses = 0;
    for (let damped = false; !damped; losses++) {
      assert.ok(losses < 10, `${losses} losses, and not damped`);
      first.health(false);
      await of().routed([2]);
      const said = first.said.length;
      first.health(true);
      await until('quorum', () => first.said.slice(said).includes('Gained quorum'));
      damped = (await stands())?.reason.includes('damped after coming and going too often') ?? false;
      if (!damped) await of().routed([1, 2]);
    }
    await pause(1000);
    const { state, wanted } = (await stands()) ?? {};
    assert.deepEqual({ state, wanted }, { state: 'withdrawn', wanted: 'announced' });
    assert.deepEqual(await of().nextHops(), [2]);
    first.reload((text) => text.replace('    spacing 0.2\n', '    damping off\n'));
    await of().routed([1, 2]);
  });
});
