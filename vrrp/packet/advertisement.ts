/** What an advertisement says, in either version of the protocol. */
export interface Advertisement {
  version: 2 | 3;
  virtualRouterId: number;
  /** 0: the sender stops being master; 255: it owns the addresses. */
  priority: number;
  /** Milliseconds; version 2 carries whole seconds, version 3 centiseconds. */
  interval: number;
  /** Version 2 only: 0 none, 1 simple password, 2 IP authentication header. */
  authenticationType: number;
  /** Addresses of 4 or 16 bytes, as the sender lists them. */
  addresses: Uint8Array[];
}

/** Why bytes are no advertisement. The words go into logs; `reason` selects the counter. */
export interface Malformed {
  reason: 'length' | 'version' | 'type' | 'checksum';
  detail: string;
}

export const HEADER_LENGTH = 8;
export const TYPE_ADVERTISEMENT = 1;
