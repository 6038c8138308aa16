import { until } from '../../lab/command.js';
import { whyNoLab } from '../../lab/needs.js';
import { PairLab } from '../../lab/pair.js';
import type { Bench, Figure } from './bench.js';

/** Microseconds of `ping -q`: least, mean, most. */
function roundTrip(text: string): Record<string, number> {
  const [, low, mean, high] = /= ([\d.]+)\/([\d.]+)\/([\d.]+)\//.exec(text) ?? [];
  if (low === undefined) throw new Error(`ping did not tell: ${text}`);
  return { 'min µs': 1000 * Number(low), 'mean µs': 1000 * Number(mean), 'max µs': 1000 * Number(high) };
}

/** Throughput and latency of a kernel twin, beside the same wire without dpvsd. */
export const twin: Bench = {
  name: 'twin',
  about: 'kernel twin on an af_packet port: iperf3 and ping, beside two kernels on the same bridge',
  async run({ quick }) {
    const reason = await whyNoLab(['iperf3', 'ping']);
    if (reason) throw new Error(reason);
    const lab = await PairLab.create('bench of the kernel twin');
    try {
      const { lb1, client, servers } = lab;
      await lb1.startDataplane();
      await lb1.dpip(['addr', 'add', '192.0.2.50/24', 'dev', 'dpdk0']);
      const figures: Figure[] = [];
      const peers = [
        { name: 'kernel twin', host: lb1.host, address: lb1.address },
        { name: 'kernel to kernel', host: servers[0]!.host, address: servers[0]!.address.v4 },
      ];
      for (const { name, host, address } of peers) {
        const server = host.start(['iperf3', '-s', '-B', address]);
        await until('iperf3', async () =>
          (await host.attempt(['ss', '-Hltn', 'sport = :5201'])).stdout.includes('LISTEN'),
        );
        for (const [way, flags] of [
          ['towards it', []],
          ['from it', ['-R']],
        ] as const) {
          const seconds = quick ? '2' : '8';
          const text = await client.run(['iperf3', '-c', address, '-t', seconds, '-J', ...flags]);
          const { end } = JSON.parse(text) as { end: { sum_received: { bits_per_second: number } } };
          figures.push({
            case: `TCP, ${name}, ${way}`,
            values: { 'Mb/s': Math.round(end.sum_received.bits_per_second / 1e6) },
          });
        }
        await server.stop();
      }
      const count = quick ? '50' : '500';
      for (const { name, address } of [
        ...peers,
        { name: 'dataplane’s own address', address: '192.0.2.50' },
      ]) {
        const text = await client.run(['ping', '-q', '-c', count, '-i', '0.01', address]);
        figures.push({ case: `ping, ${name}`, values: roundTrip(text) });
      }
      return figures;
    } finally {
      await lab.close();
    }
  },
};
