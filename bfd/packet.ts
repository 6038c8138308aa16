/** Session states by their numbers on the wire (RFC 5880 4.1). */
export const states = ['AdminDown', 'Down', 'Init', 'Up'] as const;
export type BfdState = (typeof states)[number];

/** Why a session is where it is (RFC 5880 4.1); the place is the number on the wire. */
export const diagnostics = [
  'No Diagnostic',
  'Control Detection Time Expired',
  'Echo Function Failed',
  'Neighbor Signaled Session Down',
  'Forwarding Plane Reset',
  'Path Down',
  'Concatenated Path Down',
  'Administratively Down',
  'Reverse Concatenated Path Down',
] as const;
export type Diagnostic = (typeof diagnostics)[number];

/** A control packet without authentication. Intervals in microseconds, as on the wire. */
export interface ControlPacket {
  diagnostic: number;
  state: BfdState;
  poll: boolean;
  final: boolean;
  /** The sender's detection does not depend on its control plane. */
  controlPlaneIndependent: boolean;
  demand: boolean;
  detectMultiplier: number;
  myDiscriminator: number;
  yourDiscriminator: number;
  desiredMinTx: number;
  requiredMinRx: number;
  requiredMinEchoRx: number;
}

export const PACKET_LENGTH = 24;
const VERSION = 1;
const POLL = 0x20;
const FINAL = 0x10;
const INDEPENDENT = 0x08;
const AUTHENTICATION = 0x04;
const DEMAND = 0x02;
const MULTIPOINT = 0x01;

export function encodeControl(packet: ControlPacket): Buffer {
  const bytes = Buffer.alloc(PACKET_LENGTH);
  bytes[0] = (VERSION << 5) | packet.diagnostic;
  bytes[1] =
    (states.indexOf(packet.state) << 6) |
    (packet.poll ? POLL : 0) |
    (packet.final ? FINAL : 0) |
    (packet.controlPlaneIndependent ? INDEPENDENT : 0) |
    (packet.demand ? DEMAND : 0);
  bytes[2] = packet.detectMultiplier;
  bytes[3] = PACKET_LENGTH;
  bytes.writeUInt32BE(packet.myDiscriminator, 4);
  bytes.writeUInt32BE(packet.yourDiscriminator, 8);
  bytes.writeUInt32BE(packet.desiredMinTx, 12);
  bytes.writeUInt32BE(packet.requiredMinRx, 16);
  bytes.writeUInt32BE(packet.requiredMinEchoRx, 20);
  return bytes;
}

/** Takes a packet apart, with the checks of RFC 5880 6.8.6 that need no session. @returns the reason when it is refused */
export function decodeControl(bytes: Uint8Array): ControlPacket | { reason: string } {
  if (bytes.length < PACKET_LENGTH) return { reason: `only ${bytes.length} bytes` };
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const version = view[0]! >> 5;
  if (version !== VERSION) return { reason: `version ${version}` };
  const flags = view[1]!;
  const length = view[3]!;
  if (length < PACKET_LENGTH || length > view.length) return { reason: `length field ${length}` };
  if (flags & AUTHENTICATION) return { reason: 'authentication, which is not in use here' };
  if (flags & MULTIPOINT) return { reason: 'multipoint bit' };
  const detectMultiplier = view[2]!;
  if (detectMultiplier === 0) return { reason: 'detect multiplier 0' };
  const myDiscriminator = view.readUInt32BE(4);
  if (myDiscriminator === 0) return { reason: 'no discriminator of the sender' };
  const state = states[flags >> 6]!;
  const yourDiscriminator = view.readUInt32BE(8);
  if (yourDiscriminator === 0 && state !== 'Down' && state !== 'AdminDown')
    return { reason: `state ${state} without our discriminator` };
  return {
    diagnostic: view[0]! & 0x1f,
    state,
    poll: (flags & POLL) !== 0,
    final: (flags & FINAL) !== 0,
    controlPlaneIndependent: (flags & INDEPENDENT) !== 0,
    demand: (flags & DEMAND) !== 0,
    detectMultiplier,
    myDiscriminator,
    yourDiscriminator,
    desiredMinTx: view.readUInt32BE(12),
    requiredMinRx: view.readUInt32BE(16),
    requiredMinEchoRx: view.readUInt32BE(20),
  };
}
