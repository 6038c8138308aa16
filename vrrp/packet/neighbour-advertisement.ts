import { finishSum, sumWords } from './checksum.js';

export const ETHERTYPE_IPV6 = 0x86dd;
const IPPROTO_ICMPV6 = 58;
const TYPE_NEIGHBOUR_ADVERTISEMENT = 136;
const FLAG_ROUTER = 0x80;
const FLAG_OVERRIDE = 0x20;
const OPTION_TARGET_LINK_LAYER = 2;
const HOP_LIMIT = 255;
const ALL_NODES = Buffer.from('ff020000000000000000000000000001', 'hex');
const ALL_NODES_MAC = Buffer.from('333300000001', 'hex');
const MESSAGE_LENGTH = 32;

/**
 * Ethernet frame of an unsolicited neighbour advertisement to all nodes (RFC 4861 4.4, 7.2.6; RFC 9568 8.2.4), with the
 * override flag, sent from the address itself.
 * @param mac 6 bytes @param address 16 bytes @param router whether this node forwards IPv6
 */
export function encodeNeighbourAdvertisement(mac: Uint8Array, address: Uint8Array, router: boolean): Buffer {
  const bytes = Buffer.alloc(14 + 40 + MESSAGE_LENGTH);
  bytes.set(ALL_NODES_MAC, 0);
  bytes.set(mac, 6);
  bytes.writeUInt16BE(ETHERTYPE_IPV6, 12);
  bytes[14] = 6 << 4;
  bytes.writeUInt16BE(MESSAGE_LENGTH, 18);
  bytes[20] = IPPROTO_ICMPV6;
  bytes[21] = HOP_LIMIT;
  bytes.set(address, 22);
  bytes.set(ALL_NODES, 38);
  bytes[54] = TYPE_NEIGHBOUR_ADVERTISEMENT;
  bytes[58] = (router ? FLAG_ROUTER : 0) | FLAG_OVERRIDE;
  bytes.set(address, 62);
  bytes[78] = OPTION_TARGET_LINK_LAYER;
  bytes[79] = 1;
  bytes.set(mac, 80);
  const pseudo = sumWords(ALL_NODES, sumWords(address)) + MESSAGE_LENGTH + IPPROTO_ICMPV6;
  bytes.writeUInt16BE(finishSum(sumWords(bytes.subarray(54), pseudo)), 56);
  return bytes;
}
