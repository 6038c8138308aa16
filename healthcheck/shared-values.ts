import type { LoadBalancing } from '../keepalived/model/virtual-server.js';

/**
 * Makes equal values of a model that was read from text one and the same: tens of thousands of servers are forwarded to alike, expect
 * the same answer, and are checked at the address that they have. The model must not be changed afterwards.
 */
export function shareEqualValues(model: LoadBalancing): void {
  const known = new Map<string, unknown>();
  const one = <Value>(value: Value): Value => {
    const text = JSON.stringify(value);
    const found = known.get(text) as Value | undefined;
    if (found === undefined) known.set(text, value);
    return found ?? value;
  };
  for (const { realServers } of model.virtualServers) {
    for (const server of realServers) {
      server.forwarding = one(server.forwarding);
      for (const checker of server.checkers) {
        if ('connectAddress' in checker && checker.connectAddress === server.address)
          checker.connectAddress = server.address;
        if (checker.kind === 'UDP_CHECK' && checker.requireReply)
          checker.requireReply = one(checker.requireReply);
      }
    }
  }
}
