import { endpointText } from '../address.js';

/** How addresses and ports are written: as numbers (-n), or as the names that the system knows for them. */
export interface Names {
  /** Must be called with what will be printed before it is. */
  learn(endpoints: Iterable<NamedEndpoint>): Promise<void>;
  endpoint(address: Uint8Array, port: number): string;
}

export interface NamedEndpoint {
  address: Uint8Array;
  port: number;
}

export const numericNames: Names = { learn: async () => {}, endpoint: endpointText };
