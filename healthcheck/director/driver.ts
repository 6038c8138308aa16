import type { Operation } from './difference.js';
import type { ServiceTable } from './table.js';

/** Orders beside the table itself. */
export type Command =
  | { kind: 'timeouts'; tcp: number; tcpFin: number; udp: number }
  /** Empties the whole table, also of what is not ours. */
  | { kind: 'flush' };

/** Why a batch was refused. Nothing of it was applied. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  /** `gone`: there is no dataplane now. `busy`: try again. `too-big`: split it. `refused`: this operation cannot be. */
  readonly kind: 'gone' | 'busy' | 'too-big' | 'refused';
  /** Index of the operation that cannot be, of a `refused` batch. */
  readonly operation: number | undefined;
  readonly code: string;

  constructor(kind: Refusal['kind'], code: string, text: string, operation?: number) {
    super(text);
    this.kind = kind;
    this.code = code;
    this.operation = operation;
  }
}

export interface DriverEvents {
  /** A dataplane answers; with `fresh` it is another one than before, or the first. */
  up(fresh: boolean): void;
  /** No dataplane answers any more, or none yet. `reason` is one sentence. */
  down(reason: string): void;
  /** Addresses of the dataplane came or went. */
  addressesChanged(): void;
}

/** A way to a dataplane. */
export interface DirectorDriver {
  /** Begins; events follow, never before this call returns. */
  start(events: DriverEvents): void;
  /** What is there of ours: everything we own, with rows of others left out. `desired` tells which address rows are ours. */
  read(desired: ServiceTable): Promise<ServiceTable>;
  /** Applies all or nothing. Rejects with Refusal. */
  apply(operations: Operation[]): Promise<void>;
  command(command: Command): Promise<void>;
  /** Addresses that the dataplane holds itself; absent: it holds none. */
  addresses?(): Promise<Set<string>>;
  /** Ends the connection; what is in the dataplane stays. */
  stop(): void;
}
