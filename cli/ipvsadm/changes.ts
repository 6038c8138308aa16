import { type DpvsdClient, DpvsdError } from '../../dpvsd/client.js';
import {
  Flush_What,
  Forward,
  type Operation,
  type Server,
  type Service,
  type ServiceKey,
  Table,
  Verb,
} from '../../dpvsd/generated/control.js';
import { endpointText } from '../address.js';
import type { Change } from './command.js';
import { serviceId, serviceWords } from './service.js';

/**
 * Turns changes into operations. An edit names only what it changes, while the control contract replaces whole objects; so the
 * first edit needs to know what is there, and from then on every operation is followed in memory.
 */
export class Operations {
  readonly #client: DpvsdClient;
  #services: Map<string, Service> | undefined;
  #servers = new Map<string, Map<string, Server>>();

  constructor(client: DpvsdClient) {
    this.#client = client;
  }

  /** Whether this change can be turned into an operation only after everything before it has been applied. */
  needsTables(change: Change): boolean {
    return change.kind !== 'operation' && this.#services === undefined;
  }

  /** Reads the tables (of one service, when only that one matters). */
  async readTables(only?: ServiceKey): Promise<void> {
    const services = new Map<string, Service>();
    for await (const { row } of this.#client.get(Table.TABLE_SERVICES, only ? { service: only } : {})) {
      if (row.$case === 'service' && row.value.service?.key) {
        services.set(serviceId(row.value.service.key), row.value.service);
      } else if (row.$case === 'server' && row.value.server?.service) this.#remember(row.value.server);
    }
    this.#services = services;
  }

  /** The operation of a change. @throws DpvsdError `not-found` when there is nothing to edit */
  operation(change: Change): Operation {
    const operation = this.#make(change);
    if (this.#services) this.#follow(operation);
    return operation;
  }

  #make(change: Change): Operation {
    if (change.kind === 'operation') return change.operation;
    const verb = Verb.VERB_EDIT;
    if (change.kind === 'edit-service') {
      const before = this.#services?.get(serviceId(change.key));
      if (!before) throw new DpvsdError('not-found', `there is no service ${serviceWords(change.key)}`);
      return { verb, object: { $case: 'service', value: { ...before, ...change.edits } } };
    }
    const { service, address, port, edits } = change;
    const servers = this.#servers.get(serviceId(service));
    // A server that gets packets unchanged is known by the service's port, whatever port it was added with.
    const before =
      servers?.get(endpointText(address, port)) ??
      passedOn(servers?.get(endpointText(address, service.port)));
    if (!before) {
      throw new DpvsdError(
        'not-found',
        `service ${serviceWords(service)} has no server ${endpointText(address, port)}`,
      );
    }
    return { verb, object: { $case: 'server', value: { ...before, ...edits } } };
  }

  #follow({ verb, object }: Operation): void {
    switch (object?.$case) {
      case 'service': {
        const service = object.value;
        const id = serviceId(service.key!);
        if (verb !== Verb.VERB_DELETE) this.#services?.set(id, service);
        else {
          this.#services?.delete(id);
          this.#servers.delete(id);
        }
        break;
      }
      case 'server': {
        const server = object.value;
        if (verb !== Verb.VERB_DELETE) this.#remember(server);
        else this.#servers.get(serviceId(server.service!))?.delete(endpointText(server.address, server.port));
        break;
      }
      case 'flush':
        if (object.value.what === Flush_What.SERVICES) {
          this.#services?.clear();
          this.#servers.clear();
        }
        break;
    }
  }

  #remember(server: Server): void {
    const id = serviceId(server.service!);
    let servers = this.#servers.get(id);
    if (!servers) {
      servers = new Map();
      this.#servers.set(id, servers);
    }
    servers.set(endpointText(server.address, server.port), server);
  }
}

function passedOn(server: Server | undefined): Server | undefined {
  return server?.forward === Forward.FORWARD_DR || server?.forward === Forward.FORWARD_TUNNEL
    ? server
    : undefined;
}
