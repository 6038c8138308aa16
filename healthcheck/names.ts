import type { RealServer, SorryServer, VirtualServer } from '../keepalived/model/virtual-server.js';

/** `[192.0.2.1]:tcp:80`, as keepalived's log lines, FIFOs and mails name an endpoint; scripts match on it. */
export function endpointName(address: string, protocol: string, port: number): string {
  return `[${address}]:${protocol.toLowerCase()}:${port}`;
}

/** Name of a virtual server in log lines, FIFOs and mails. */
export function virtualServerName(vs: VirtualServer): string {
  switch (vs.target.kind) {
    case 'address':
      return endpointName(vs.target.address, vs.protocol, vs.target.port);
    case 'fwmark':
      return `FWM ${vs.target.mark}`;
    case 'group':
      return `[${vs.target.name}]:0`;
    case 'match':
      return `MATCH ${vs.target.name}`;
  }
}

/** Name of a real or sorry server of `vs` in log lines, FIFOs and mails. */
export function realServerName(vs: VirtualServer, server: RealServer | SorryServer): string {
  const protocol = vs.target.kind === 'fwmark' ? 'none' : vs.protocol;
  return endpointName(server.address, protocol, server.port);
}

/**
 * What makes a virtual server the same one after a reload: everything else about it may change.
 * Two of the same identity in one file are told apart by the caller.
 */
export function virtualServerIdentity(vs: VirtualServer): string {
  switch (vs.target.kind) {
    case 'address':
      return `address ${vs.protocol} ${vs.target.address} ${vs.target.port}`;
    case 'fwmark':
      return `fwmark ${vs.target.mark} ${vs.target.family}`;
    case 'group':
      return `group ${vs.protocol} ${vs.target.name}`;
    case 'match':
      return `match ${vs.protocol} ${vs.target.name}`;
  }
}

/** What makes a real server of one virtual server the same one after a reload. */
export function realServerIdentity(server: { address: string; port: number }): string {
  return `${server.address} ${server.port}`;
}
