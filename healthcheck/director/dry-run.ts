import type { Log } from '../../lib/log.js';
import type { Operation } from './difference.js';
import type { Command, DirectorDriver, DriverEvents } from './driver.js';
import { keyText, listText, localText, type ServiceTable, serverText } from './table.js';

/** One operation in words: `add server [10.0.0.1]:80 of TCP [192.0.2.1]:80, FNAT, weight 100`. */
export function operationText(operation: Operation): string {
  const service = keyText(operation.key);
  switch (operation.object) {
    case 'service':
      return operation.verb === 'delete'
        ? `delete service ${service}`
        : `${operation.verb} service ${service}, ${operation.row.scheduler}`;
    case 'server': {
      const server = `${operation.verb} server ${serverText(operation.row)} of ${service}`;
      if (operation.verb === 'delete') return server;
      const inhibited = operation.row.inhibited ? ', inhibited' : '';
      return `${server}, ${operation.row.forward}, weight ${operation.row.weight}${inhibited}`;
    }
    case 'local':
      return `${operation.verb} local address ${localText(operation.row)} of ${service}`;
    case 'list':
      return `${operation.verb} list entry ${listText(operation.row)} of ${service}`;
  }
}

/** A director without a dataplane: logs what it would do. */
export class DryRun implements DirectorDriver {
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  start(events: DriverEvents): void {
    queueMicrotask(() => events.up(true));
  }

  async read(): Promise<ServiceTable> {
    return new Map();
  }

  async apply(operations: Operation[]): Promise<void> {
    for (const operation of operations) this.#log.info(`dry-run: ${operationText(operation)}`);
  }

  async command(command: Command): Promise<void> {
    if (command.kind === 'flush') this.#log.info('dry-run: flush everything');
    else {
      const { tcp, tcpFin, udp } = command;
      this.#log.info(`dry-run: set time-outs tcp ${tcp} tcpfin ${tcpFin} udp ${udp}`);
    }
  }

  stop(): void {}
}
