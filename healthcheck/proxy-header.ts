import type { VirtualServer } from '../keepalived/model/virtual-server.js';

/**
 * What a health check says first to a server behind a service with PROXY protocol: a connection of the balancer's own (v2 command
 * LOCAL; v1 UNKNOWN). Nothing for the insecure variants, whose servers accept connections without a header.
 * Source: PROXY protocol specification, sections 2.1 and 2.2.
 */
export function proxyHeader(proxy: VirtualServer['proxyProtocol']): Buffer {
  switch (proxy) {
    case 'v1':
      return Buffer.from('PROXY UNKNOWN\r\n', 'latin1');
    case 'v2':
      // Signature, version 2 command LOCAL, family unspecified, no addresses.
      return Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex');
    default:
      return Buffer.alloc(0);
  }
}
