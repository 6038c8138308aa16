import assert from 'node:assert/strict';
import { until } from '../../../lab/command.js';
import type { Check } from './cards.js';
import { type Guest, patience, TWIN } from './guest.js';

const SECONDS = 4;

/** What a twin has to show, whatever it is made of. `address`: of a card that vfio-pci holds. */
export function checksOfTwin(
  guest: Guest,
  address: string,
  kind: 'tap' | 'virtio-user',
  figures: Map<string, number>,
): Check[] {
  const { lab, machine } = guest;
  const own = lab.plan.twin.v4;
  const start = async () => {
    const said = await guest.start();
    assert.equal(said, undefined, said);
    await until('carrier of the twin', async () => (await guest.twin()).carrier, patience);
  };
  const macOfPort = (mac: string) =>
    until('the MAC of the port', async () => (await guest.dpip('link', 'show')).includes(mac), patience);
  /** A server for each: between two tests it resets whoever comes too early. */
  const megabits = async (port: number, flags: string[]) => {
    await machine.run(`iperf3 -s -1 -D -B ${own} -p ${port}; sleep 1`);
    const words = ['iperf3', '-c', own, '-p', String(port), '-t', String(SECONDS), '-J', ...flags];
    const text = await lab.client.run(words, { limit: 60_000 });
    const { end, error } = JSON.parse(text) as {
      end: { sum_received?: { bits_per_second: number } };
      error?: string;
    };
    if (!end.sum_received) throw new Error(`iperf3 ${flags.join(' ')}: ${error ?? text}`);
    return end.sum_received.bits_per_second / 1e6;
  };
  return [
    [
      'stands in dpip link show with its kind',
      async () => {
        await guest.writeConf({ address, queues: 1, twins: kind });
        await start();
        const port = await guest.port();
        assert.equal(port.twinKind, kind);
        await guest.dpip('addr', 'add', `${lab.plan.outerDirector.v4}/24`, 'dev', 'dpdk0');
        await machine.run(
          `ip address replace ${own}/24 dev ${TWIN}; ip route replace default via ${lab.plan.outerRouter.v4}`,
        );
      },
    ],
    [
      'answers for the kernel and carries TCP both ways',
      async () => {
        await until(
          'ping of the twin',
          async () => {
            const { stdout } = await lab.client.attempt(['ping', '-c', '1', '-W', '1', own]);
            return stdout.includes(' 0% packet loss');
          },
          patience,
        );
        figures.set(`${kind} in`, await megabits(5201, []));
        figures.set(`${kind} out`, await megabits(5202, ['-R']));
        console.log(`    twin by ${kind}: ${await guest.drops()}`);
      },
    ],
    [
      'follows MTU and MAC, both ways',
      async () => {
        await guest.dpip('link', 'set', 'dpdk0', 'mtu', '1400');
        assert.equal((await guest.twin()).mtu, 1400);
        await machine.run(`ip link set ${TWIN} mtu 1500`);
        await until('the MTU of the port', async () => (await guest.port()).mtu === 1500, patience);
        const { mac } = await guest.twin();
        await machine.run(`ip link set ${TWIN} address 52:54:00:00:00:99`);
        await macOfPort('52:54:00:00:00:99');
        await machine.run(`ip link set ${TWIN} address ${mac}`);
        await macOfPort(mac);
      },
    ],
    [
      'is the same device with its address after kill -9, without carrier meanwhile',
      async () => {
        const before = await guest.twin();
        await guest.kill();
        await until('loss of carrier', async () => !(await guest.twin()).carrier, patience);
        assert.deepEqual((await guest.twin()).addresses, [own]);
        await start();
        const after = await guest.twin();
        assert.equal(after.index, before.index);
        assert.deepEqual(after.addresses, [own]);
        await guest.stop();
        assert.equal((await guest.twin()).carrier, false);
      },
    ],
  ];
}
