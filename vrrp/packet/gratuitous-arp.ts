export const ETHERTYPE_ARP = 0x0806;
const HARDWARE_ETHERNET = 1;
const ETHERTYPE_IPV4 = 0x0800;
const OPERATION_REQUEST = 1;
const BROADCAST = Buffer.alloc(6, 0xff);

/**
 * Ethernet frame of a gratuitous ARP request (RFC 5227 3, RFC 826): sender and target are the address itself.
 * @param mac 6 bytes, both sender in Ethernet and in ARP
 * @param address 4 bytes
 */
export function encodeGratuitousArp(mac: Uint8Array, address: Uint8Array): Buffer {
  const bytes = Buffer.alloc(42);
  bytes.set(BROADCAST, 0);
  bytes.set(mac, 6);
  bytes.writeUInt16BE(ETHERTYPE_ARP, 12);
  bytes.writeUInt16BE(HARDWARE_ETHERNET, 14);
  bytes.writeUInt16BE(ETHERTYPE_IPV4, 16);
  bytes[18] = 6;
  bytes[19] = 4;
  bytes.writeUInt16BE(OPERATION_REQUEST, 20);
  bytes.set(mac, 22);
  bytes.set(address, 28);
  bytes.set(BROADCAST, 32);
  bytes.set(address, 38);
  return bytes;
}
