/**
 * Frames that Debian 12's keepalived 2.2.7 sent on a veth, captured with tcpdump: Ethernet header included.
 * The node has 10.9.0.1 and fe80::bcfb:e7ff:fe76:9de7, the unicast peer is 10.9.0.2.
 */
export const captures = {
  /** Version 2, id 11, priority 150, PASS "secret1", 1 s, addresses 10.9.0.100 and 10.9.0.101. */
  v2pass:
    '01005e000012befbe7769de7080045c0002c00010000ff70d0840a090001e0000012210b96020101c5c90a0900640a0900657365637265743100',
  /** The same router resigns. */
  v2passZero:
    '01005e000012befbe7769de7080045c0002c00060000ff70d07f0a090001e0000012210b000201015bca0a0900640a0900657365637265743100',
  /** Version 2 without authentication, id 17, priority 101, 1 s, 10.9.0.107. */
  v2none:
    '01005e000012befbe7769de7080045c0002800010000ff70d0880a090001e00000122111650100016f780a09006b0000000000000000',
  /** Version 2 with AH "secret2", id 12, priority 150, 10.9.0.102. */
  v2ah: '01005e000012befbe7769de7080045c0004000010000ff33d0ad0a090001e0000012700400000a090001000000017dc91c74a2b6437110332c8a210c960102013c820a0900660000000000000000',
  /** Unicast, version 2 with AH "secret3", id 16, priority 101, 10.9.0.106. */
  v2ahUnicast:
    '32a91784704dbefbe7769de7080045c0004000010000ff33a6b50a0900010a090002700400000a09000100000001757caf72f95879ce559749ff2110650102016d7a0a09006a0000000000000000',
  /** Version 3, id 13, priority 255, 0.5 s, 10.9.0.103. */
  v3: '01005e000012befbe7769de7080045c0002000010000ff70d0900a090001e0000012310dff010032dab50a090067',
  /** Version 3 unicast, id 15, priority 101, 0.5 s, 10.9.0.105. */
  v3unicast: '32a91784704dbefbe7769de7080045c0002000010000ff70a6980a0900010a090002310f650100324aba0a090069',
  /** Version 3 over IPv6, id 14, priority 101, 0.5 s, fe80::5:1 and 2001:db8::5. */
  v3ipv6:
    '333300000012befbe7769de786dd6c0715c2002870fffe80000000000000bcfbe7fffe769de7ff020000000000000000000000000012310e65020032fdeffe80000000000000000000000005000120010db8000000000000000000000005',
  /** Gratuitous ARP for 10.9.0.103. */
  garp: 'ffffffffffffbefbe7769de708060001080006040001befbe7769de70a090067ffffffffffff0a090067',
} as const;

export function frame(name: keyof typeof captures): Buffer {
  return Buffer.from(captures[name], 'hex');
}

/** The IP packet of a frame. */
export function packet(name: keyof typeof captures): Buffer {
  return frame(name).subarray(14);
}
