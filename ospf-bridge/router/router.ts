import type { OspfBridge } from '../../keepalived/model/ospf-bridge.js';
import { BirdRouter } from './bird.js';
import { ZebraRouter } from './zebra.js';

/** How the routing daemon announces a prefix. */
export interface Announced {
  /** `external`: an LSA of its own (type 5); `intra_area`: part of the router's LSA. */
  kind: 'external' | 'intra_area';
  metric: number;
}

export interface Neighbour {
  routerId: string;
  address: string;
  interface: string;
  /** `Full`, `Init` ... */
  state: string;
  family: 4 | 6;
  /** State of the BFD session with it, as far as the daemon tells: `up`, `down`, `init`. */
  bfd?: string;
}

/** What the routing daemon says about itself. */
export interface ReadBack {
  /** `FRRouting 8.4.4`, `BIRD 2.0.12`. */
  version: string;
  /** Everything that this router announces, by `address/length`. */
  announced: Map<string, Announced>;
  neighbours: Neighbour[];
}

/** A routing daemon that takes up what stands in the kernel. It is read, and never changed. */
export interface Router {
  /** @param families those that virtual addresses have @throws VtyError */
  readBack(families: ReadonlySet<4 | 6>): Promise<ReadBack>;
  /** The configuration that is in force, as text by daemon. @throws VtyError */
  configuration(families: ReadonlySet<4 | 6>): Promise<Map<string, string>>;
  /** Lets go of connections; the next question opens new ones. */
  close(): void;
}

/** The driver for the configured daemon. */
export function routerOf(settings: OspfBridge): Router {
  return settings.router === 'bird'
    ? new BirdRouter(settings.vty ?? '/run/bird/bird.ctl')
    : new ZebraRouter(settings.router, settings);
}
