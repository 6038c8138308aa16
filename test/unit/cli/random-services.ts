import { type Match, type Operation, ServiceKey, Verb } from '../../../dpvsd/generated/control.js';
import type { Random } from '../random.js';

const schedulers = 'rr wrr lc wlc sed nq sh dh mh conhash fo ovf'.split(' ');

function address(random: Random, ipv6: boolean): Uint8Array {
  const bytes = Uint8Array.from({ length: ipv6 ? 16 : 4 }, () =>
    random.chance(0.4) ? 0 : random.within(0, 255),
  );
  bytes[0] = ipv6 ? 0x20 : 10;
  return bytes;
}

function match(random: Random, ipv6: boolean): Match {
  const range = () => {
    const [low, high] = [address(random, ipv6), address(random, ipv6)].sort(Buffer.compare) as [
      Uint8Array,
      Uint8Array,
    ];
    const portHigh = random.chance(0.5) ? random.within(1, 65535) : 0;
    return { low, high, portHigh, portLow: random.within(0, portHigh) };
  };
  const none = { low: new Uint8Array(0), high: new Uint8Array(0), portLow: 0, portHigh: 0 };
  const source = range();
  const destination = random.chance(0.5) ? range() : none;
  return {
    sourceLow: source.low,
    sourceHigh: source.high,
    sourcePortLow: source.portLow,
    sourcePortHigh: source.portHigh,
    destinationLow: destination.low,
    destinationHigh: destination.high,
    destinationPortLow: destination.portLow,
    destinationPortHigh: destination.portHigh,
    inPort: random.pick(['', 'dpdk0']),
    outPort: random.pick(['', 'dpdk1']),
  };
}

function serviceKey(random: Random, modest: boolean): ServiceKey {
  const ipv6 = random.chance(0.4);
  const kind = random.within(modest ? 2 : 0, 9);
  if (kind === 0) {
    return ServiceKey.fromPartial({
      fwmark: random.within(1, 0xffffffff),
      ...(ipv6 ? { address: new Uint8Array(16) } : {}),
    });
  }
  if (kind === 1) {
    const protocol = random.pick([0, 6, 17, ipv6 ? 58 : 1]);
    return ServiceKey.fromPartial({ protocol, match: match(random, ipv6) });
  }
  const protocol = random.pick([6, 6, 17, ipv6 ? 58 : 1]);
  const port = protocol === 6 || protocol === 17 ? random.within(1, 65535) : 0;
  return ServiceKey.fromPartial({ protocol, address: address(random, ipv6), port });
}

/**
 * Services with everything that they can have, in random combinations.
 * @param modest only what a dataplane without marks, matches, tunnels, SNAT and sets of addresses has
 */
export function randomOperations(random: Random, modest = false): Operation[] {
  const operations: Operation[] = [];
  const add = (object: NonNullable<Operation['object']>) => operations.push({ verb: Verb.VERB_PUT, object });
  const some = (value: number) => (random.chance(0.3) ? value : 0);
  for (let n = random.within(1, 12); n > 0; n--) {
    const key = serviceKey(random, modest);
    const ipv6 = key.address.length === 16 || (key.match?.sourceLow.length ?? 0) === 16;
    const udp = key.protocol === 17 || key.fwmark > 0;
    const scheduler = random.pick(schedulers);
    const downOnly = random.chance(0.3);
    add({
      $case: 'service',
      value: {
        key,
        scheduler,
        persistence: some(random.within(1, 9999)),
        persistencePrefix: some(random.within(1, (key.address.length === 16 ? 128 : 32) - 1)),
        onePacket: udp && random.chance(0.3),
        synProxy: key.protocol === 6 && random.chance(0.3),
        expireQuiescent: random.chance(0.3),
        quic: udp && random.chance(0.3),
        connectionTimeout: some(random.within(1, 86400 * 31)),
        proxyProtocol: udp ? random.pick([0, 2, 4]) : random.within(0, 4),
        hashTarget: udp && scheduler === 'conhash' ? random.within(0, 1) : 0,
        destCheck: random.chance(0.3)
          ? {
              enabled: true,
              downRetry: random.within(1, 255),
              upConfirm: downOnly ? 0 : random.within(1, 255),
              downWait: random.within(1, 255),
              inhibitMin: downOnly ? 0 : random.within(1, 100),
              inhibitMax: downOnly ? 0 : random.within(100, 65535),
            }
          : undefined,
        bps: some(random.within(1, 1e12)),
        limitProportion: some(random.within(1, 100)),
        owner: random.pick(['', '', 'keepalived', 'a "quoted" owner\\with # all']),
        schedulerFlags: ['sh', 'mh'].includes(scheduler) && random.chance(0.3) ? `${scheduler}-port` : '',
      },
    });
    for (let s = random.within(0, 6); s > 0; s--) {
      const forward = random.within(0, modest ? 2 : 4);
      const upper = some(random.within(1, 0x7fffffff));
      // Direct routing and tunnels do not change ports.
      const fixed = key.fwmark === 0 && (forward === 2 || forward === 3);
      add({
        $case: 'server',
        value: {
          service: key,
          address: address(random, ipv6),
          port: fixed || key.port === 0 ? key.port : random.within(1, 65535),
          forward,
          weight: random.within(0, 65535),
          upperThreshold: upper,
          lowerThreshold: random.chance(0.5) ? random.within(0, upper) : 0,
          inhibited: random.chance(0.2),
          owner: random.pick(['', 'keepalived']),
        },
      });
    }
    for (let l = random.within(0, 4); l > 0; l--) {
      const local = address(random, ipv6);
      // An address is on one device, whichever services use it.
      const device = `dpdk${local[local.length - 1]! % 2}`;
      add({ $case: 'localAddress', value: { service: key, address: local, device } });
    }
    for (let e = random.within(0, 4); e > 0; e--) {
      const set = !modest && random.chance(0.2) ? `set-${e}` : '';
      add({
        $case: 'listEntry',
        value: {
          service: key,
          kind: random.within(0, 1),
          address:
            set !== ''
              ? new Uint8Array(0)
              : random.chance(0.1)
                ? new Uint8Array(ipv6 ? 16 : 4)
                : address(random, ipv6),
          prefix: set === '' ? some(random.within(1, ipv6 ? 127 : 31)) : 0,
          set,
        },
      });
    }
  }
  return operations;
}
