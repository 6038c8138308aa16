import {
  type ListEntry,
  type LocalAddress,
  type Server,
  type Service,
  type ServiceEntry,
  type ServiceKey,
  type ServiceTable,
  sameRow,
} from './table.js';

export type Verb = 'add' | 'edit' | 'delete';

/** One step from the applied table to the desired one. `name` is the row's text within its service. */
export type Operation =
  | { verb: Verb; object: 'service'; key: ServiceKey; name: ''; row: Service }
  | { verb: Verb; object: 'server'; key: ServiceKey; name: string; row: Server }
  | { verb: Verb; object: 'local'; key: ServiceKey; name: string; row: LocalAddress }
  | { verb: Verb; object: 'list'; key: ServiceKey; name: string; row: ListEntry };

/**
 * What must be done to turn `applied` into `desired`: nothing that is right already is touched, nothing is deleted to be added
 * again. Within a service additions come before removals, so that no moment has no server when one is due. A service that goes
 * is one operation: its servers, addresses and lists go with it.
 * @param touched looks only at these services (their texts); absent: at all
 * @param listsOf the lists that a desired service is to have; absent: its own
 */
export function difference(
  applied: ServiceTable,
  desired: ServiceTable,
  touched?: Iterable<string>,
  listsOf: (entry: ServiceEntry) => Map<string, ListEntry> = ({ lists }) => lists,
): Operation[] {
  const operations: Operation[] = [];
  const names = touched ?? new Set([...desired.keys(), ...applied.keys()]);
  for (const name of names) serviceDifference(applied.get(name), desired.get(name), operations, listsOf);
  return operations;
}

function serviceDifference(
  before: ServiceEntry | undefined,
  after: ServiceEntry | undefined,
  operations: Operation[],
  listsOf: (entry: ServiceEntry) => Map<string, ListEntry>,
): void {
  if (!after) {
    if (before)
      operations.push({ verb: 'delete', object: 'service', key: before.key, name: '', row: before.service });
    return;
  }
  const key = after.key;
  if (!before) operations.push({ verb: 'add', object: 'service', key, name: '', row: after.service });
  else if (!sameRow(before.service, after.service)) {
    operations.push({ verb: 'edit', object: 'service', key, name: '', row: after.service });
  }
  rows('local', key, before?.locals, after.locals, operations);
  rows('list', key, before?.lists, listsOf(after), operations);
  rows('server', key, before?.servers, after.servers, operations);
}

function rows<Row extends object>(
  object: Exclude<Operation['object'], 'service'>,
  key: ServiceKey,
  before: Map<string, Row> | undefined,
  after: Map<string, Row>,
  operations: Operation[],
): void {
  for (const [name, row] of after) {
    const old = before?.get(name);
    if (!old) operations.push({ verb: 'add', object, key, name, row } as unknown as Operation);
    else if (old !== row && !sameRow(old, row)) {
      operations.push({ verb: 'edit', object, key, name, row } as unknown as Operation);
    }
  }
  if (!before) return;
  for (const [name, row] of before) {
    if (!after.has(name)) operations.push({ verb: 'delete', object, key, name, row } as unknown as Operation);
  }
}
