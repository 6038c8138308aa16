import assert from 'node:assert/strict';
import { until } from '../../../lab/command.js';
import { type Guest, patience, TWIN } from './guest.js';
import type { CardUnderTest } from './rack.js';

/** A check of a card: what it shows, and how. */
export type Check = [name: string, body: () => Promise<void>];

/** A group that nobody in the lab uses, and its address on the wire. */
const GROUP = '239.1.2.3';
const GROUP_MAC = '01:00:5e:01:02:03';
/** Too large for one frame: it arrives in pieces, is put together, and its answer is cut again. */
const LARGE = 4000;

/** Both servers answer the client through the director. */
async function answers({ lab }: Guest): Promise<void> {
  const seen = new Set<string>();
  await until(
    'pages of both servers',
    async () => {
      const page = await lab.client.attempt(['curl', '-s', '-m', '2', `http://${lab.plan.virtual.v4}/`]);
      seen.add(page.stdout.trim());
      return lab.servers.every(({ name }) => seen.has(name));
    },
    patience,
  );
}

/** What a card of this kind has to show under DPDK. `place`: its place among the virtual machine's cards. */
export function checksOf(guest: Guest, card: CardUnderTest, address: string, place: number): Check[] {
  const { lab, machine } = guest;
  const follow = (up: boolean) =>
    until(
      `${card.name}: link ${up ? 'up' : 'down'}`,
      async () => (await guest.port()).up === up && (await guest.twin()).carrier === up,
      patience,
    );
  return [
    [
      'is ready once vfio-pci holds it, says the doctor',
      async () => {
        await guest.bind(address, 'vfio-pci');
        await guest.writeConf({ address, queues: card.queues });
        const { code, text } = await guest.doctor();
        assert.match(text, new RegExp(`${address} .*: vfio-pci, ready for DPDK`));
        assert.equal(code, 0, text);
      },
    ],
    ...(card.queues === 1 && card.driver === 'net_e1000_em'
      ? ([
          [
            'has fewer queues than two workers want: the start ends with what to write',
            async () => {
              await guest.writeConf({ address, queues: 2 });
              const said = await guest.start();
              assert.match(
                said ?? 'it started',
                /has 1 receive and 1 send queues; 2 and 2 are wanted.*queue_number/s,
              );
              await guest.writeConf({ address, queues: 1 });
            },
          ],
        ] as Check[])
      : []),
    [
      `starts with ${card.queues} queue${card.queues > 1 ? 's' : ''} under ${card.driver}`,
      async () => {
        const said = await guest.start();
        assert.equal(said, undefined, said);
        await follow(true);
        const port = await guest.port();
        assert.equal(port.driver, card.driver);
        assert.equal(port.rxQueues, card.queues);
      },
    ],
    [
      'carries HTTP by FullNAT between client and servers',
      async () => {
        await guest.configure();
        await answers(guest);
      },
    ],
    [
      'puts fragments together, and sends packets in pieces',
      async () => {
        const ping = ['ping', '-c', '3', '-i', '0.2', '-W', '3', '-s', String(LARGE), lab.plan.virtual.v4];
        assert.match(await lab.client.run(ping), / 0% packet loss/);
      },
    ],
    [
      'lets in the groups that the kernel joins',
      async () => {
        await machine.run(`ip maddr add ${GROUP_MAC} dev ${TWIN}`);
        await until(
          'the group at the port',
          async () => (await guest.dpip('maddr', 'show')).includes(GROUP_MAC),
          patience,
        );
        const heard = machine.attempt(`timeout 20 tcpdump -p -n -c 1 -i ${TWIN} host ${GROUP}`, 30);
        const sender = lab.network.router.start(['ping', '-i', '0.2', '-W', '1', '-I', 'outer', GROUP]);
        const pattern = new RegExp(`> ${GROUP.replaceAll('.', '\\.')}: ICMP echo request`);
        assert.match((await heard).stdout, pattern);
        await sender.stop();
        await machine.run(`ip maddr del ${GROUP_MAC} dev ${TWIN}`);
      },
    ],
    [
      'follows the cable, and goes on afterwards',
      async () => {
        await machine.link(place, false);
        await follow(false);
        await machine.link(place, true);
        await follow(true);
        await answers(guest);
      },
    ],
    [
      'is taken down and up by its twin',
      async () => {
        await machine.run(`ip link set ${TWIN} down`);
        await until('the port down', async () => !(await guest.port()).up, patience);
        await machine.run(`ip link set ${TWIN} up`);
        await follow(true);
        await answers(guest);
      },
    ],
    [
      'takes a smaller MTU and promiscuous mode while it runs',
      async () => {
        for (const words of ['mtu 1400', 'promisc on'])
          await guest.dpip('link', 'set', 'dpdk0', ...words.split(' '));
        assert.deepEqual([(await guest.port()).mtu, (await guest.twin()).mtu], [1400, 1400]);
        for (const words of ['mtu 1500', 'promisc off'])
          await guest.dpip('link', 'set', 'dpdk0', ...words.split(' '));
        await answers(guest);
      },
    ],
    [
      'counts, without errors, and ends in order',
      async () => {
        const { counters } = await guest.port();
        assert.ok(counters.rxPackets > 0 && counters.txPackets > 0, JSON.stringify(counters));
        assert.deepEqual(
          [counters.rxErrors, counters.txErrors, counters.rxNoBuffer].map(Number),
          [0, 0, 0],
          JSON.stringify(counters),
        );
        await guest.stop();
      },
    ],
  ];
}
