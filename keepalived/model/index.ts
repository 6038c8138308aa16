import type { BfdModel } from './bfd.js';
import type { Global } from './global.js';
import type { OspfBridge } from './ospf-bridge.js';
import type { LoadBalancing, Protocol } from './virtual-server.js';
import type { VrrpModel } from './vrrp.js';

/**
 * All of keepalived.conf, typed: every default, range, inheritance and name already resolved, plain data that survives
 * structuredClone. The text of it (write.ts) reads back as the same model.
 */
export interface Model {
  global: Global;
  vrrp: VrrpModel;
  loadBalancing: LoadBalancing;
  bfd: BfdModel;
  /** Absent: virtual addresses are not announced. */
  ospfBridge?: OspfBridge;
}

/** What the command line says to the sidecars. */
export interface RunFlags {
  /** `-X`: addresses go when a signal ends the process, also with `-V`. */
  releaseVips: boolean;
  /** `-V`: addresses and routes stay at the end. */
  dontReleaseVrrp: boolean;
  /** `-I`: virtual servers stay at the end. */
  dontReleaseIpvs: boolean;
  /** `-a`: log all addresses that come and go. */
  addressMonitoring: boolean;
}

/** What the VRRP process gets. */
export interface VrrpPart {
  global: Global;
  vrrp: VrrpModel;
  /** The dataplane's control socket, where `lvs_director` names one. */
  controlSocket?: string;
  /** Services that the health checker puts at addresses of the instances. */
  awaited?: AwaitedService[];
  run?: RunFlags;
}

/** A service that has to be in the dataplane before an instance brings its address there. */
export interface AwaitedService {
  protocol: Protocol;
  address: string;
  port: number;
}

/** What the health checker gets. */
export interface HealthcheckPart {
  global: Global;
  loadBalancing: LoadBalancing;
  run?: RunFlags;
}

/** What the BFD process gets. */
export interface BfdPart {
  global: Global;
  bfd: BfdModel;
  /** Folder of FRR's VTY sockets, where bfdd is looked for; absent: another routing daemon is used. */
  frr?: string;
  run?: RunFlags;
}

/** What the OSPF bridge gets. */
export interface OspfBridgePart {
  global: Global;
  bridge: OspfBridge;
  /** Addresses of virtual servers and of VRRP instances, and whether there is a dataplane to watch. */
  virtualAddresses: string[];
  instances: { name: string; addresses: string[] }[];
  director: LoadBalancing['engine']['director'];
  run?: RunFlags;
}
