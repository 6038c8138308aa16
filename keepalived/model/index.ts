import type { BfdModel } from './bfd.js';
import type { Global } from './global.js';
import type { LoadBalancing } from './virtual-server.js';
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
}

/** What the VRRP process gets. */
export interface VrrpPart {
  global: Global;
  vrrp: VrrpModel;
}

/** What the health checker gets. */
export interface HealthcheckPart {
  global: Global;
  loadBalancing: LoadBalancing;
}

/** What the BFD process gets. */
export interface BfdPart {
  global: Global;
  bfd: BfdModel;
}
