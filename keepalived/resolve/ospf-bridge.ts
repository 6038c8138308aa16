import { formatIp, parseIp } from '../../lib/ip.js';
import type { Model, OspfBridgePart, RunFlags } from '../model/index.js';

/** Addresses of one range at most; what is larger is no list of virtual addresses. */
const RANGE_LIMIT = 65_536;

/** What the OSPF bridge needs of the model; only called when there is an `ospf_bridge`. */
export function bridgePart(model: Model, run: RunFlags): OspfBridgePart {
  const { loadBalancing, vrrp } = model;
  const addresses = new Set<string>();
  for (const { target } of loadBalancing.virtualServers) {
    if (target.kind === 'address') addresses.add(formatIp(parseIp(target.address)));
    if (target.kind !== 'group') continue;
    for (const entry of loadBalancing.groups[target.name] ?? []) {
      if (entry.kind === 'addresses') for (const one of range(entry.first, entry.last)) addresses.add(one);
    }
  }
  return {
    global: model.global,
    bridge: model.ospfBridge!,
    virtualAddresses: [...addresses],
    instances: vrrp.instances.map((instance) => ({
      name: instance.name,
      addresses: [...instance.virtualAddresses, ...instance.excludedAddresses].map(({ address }) =>
        formatIp(parseIp(address)),
      ),
    })),
    director: loadBalancing.engine.director,
    run,
  };
}

function* range(first: string, last: string): Generator<string> {
  const bytes = parseIp(first);
  const end = parseIp(last);
  for (let count = 0; count < RANGE_LIMIT; count++) {
    yield formatIp(bytes);
    if (bytes.equals(end)) return;
    for (let at = bytes.length - 1; at >= 0; at--) {
      bytes[at] = (bytes[at]! + 1) & 255;
      if (bytes[at] !== 0) break;
    }
  }
}
