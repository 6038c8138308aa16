import { DpvsdClient } from '../../dpvsd/client.js';
import { Forward, Protocol, Verb } from '../../dpvsd/generated/control.js';
import type { Bench, Figure } from './bench.js';
import { BenchDirector } from './director.js';

const SERVERS = 10;
const address = (a: number, n: number): string => `10.${a}.${(n >> 8) & 255}.${n & 255}`;
const vip = (n: number): string => `10.${16 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;

/** As ipvsadm -S would write it. */
function rules(services: number): string {
  const lines: string[] = [];
  for (let s = 0; s < services; s++) {
    lines.push(`-A -t ${vip(s)}:80 -s wrr`);
    for (let i = 0; i < SERVERS; i++)
      lines.push(`-a -t ${vip(s)}:80 -r ${address(32 + i, s)}:8080 -b -w ${1 + i}`);
  }
  return `${lines.join('\n')}\n`;
}

const milliseconds = (from: bigint): number => Number(process.hrtime.bigint() - from) / 1e6;

async function measure(services: number): Promise<Figure> {
  const director = await BenchDirector.start({ connections: 65_536, hugepages: false });
  try {
    const text = rules(services);
    let from = process.hrtime.bigint();
    director.input('ipvsadm', text, '-R');
    const restore = milliseconds(from);
    from = process.hrtime.bigint();
    const saved = director.command('ipvsadm', '-S', '-n');
    const save = milliseconds(from);
    const lines = saved.trim().split('\n').length;
    if (lines < services * (SERVERS + 1)) throw new Error(`only ${lines} lines came back`);
    const weight = await changeWeights(director, services);
    return {
      case: `${services} services, ${SERVERS} servers each`,
      values: { 'ipvsadm -R ms': restore, 'ipvsadm -S ms': save, 'one weight ms (median)': weight },
    };
  } finally {
    await director.stop();
  }
}

/** Median time of a batch that changes the weight of one server. */
async function changeWeights(director: BenchDirector, services: number): Promise<number> {
  const client = await DpvsdClient.connect({ path: director.ipc, client: 'bench' });
  const bytes = (text: string) => Uint8Array.from(text.split('.').map(Number));
  try {
    const times: number[] = [];
    for (let i = 0; i < 101; i++) {
      const s = (i * 7919) % services;
      const from = process.hrtime.bigint();
      await client.apply([
        {
          verb: Verb.VERB_EDIT,
          object: {
            $case: 'server',
            value: {
              service: { protocol: Protocol.PROTOCOL_TCP, address: bytes(vip(s)), port: 80 },
              address: bytes(address(32, s)),
              port: 8080,
              forward: Forward.FORWARD_FULLNAT,
              weight: 50 + i,
            },
          },
        },
      ]);
      times.push(milliseconds(from));
    }
    return times.sort((a, b) => a - b)[50]!;
  } finally {
    client.close();
  }
}

/** Configuration: how long it takes to load, save and change many services. */
export const load: Bench = {
  name: 'load',
  about:
    'ipvsadm -R and -S of many services (whole command, Node start included), one weight by the control socket',
  async run() {
    return [await measure(1000), await measure(10_000)];
  },
};
