import { type DpvsdClient, DpvsdError } from '../../dpvsd/client.js';
import {
  type ConnectionRow,
  type Service,
  type ServiceKey,
  Table,
  type TemplateRow,
  Verb,
} from '../../dpvsd/generated/control.js';
import { Output, type Sink } from '../output.js';
import { UsageError } from '../usage.js';
import { Operations } from './changes.js';
import { type Change, type Command, type Invocation, type ListOptions, parseCommandLine } from './command.js';
import { connectionJson, entriesJson, localAddressesJson, templateJson, virtualServerJson } from './json.js';
import {
  connectionLine,
  entryLine,
  entryTitle,
  localAddressLines,
  localAddressTitle,
  serviceLines,
  templateLine,
  timeoutsLine,
  titleLines,
  versionLine,
} from './list.js';
import { type NamedEndpoint, type Names, numericNames } from './names.js';
import { RestoreError, restore } from './restore.js';
import { saveLines } from './save.js';
import { serviceWords } from './service.js';
import { readToSave, readVirtualServers, type VirtualServer } from './table.js';
import { usage } from './usage-text.js';
import { noteOn } from './without-effect.js';

export interface Surroundings {
  stdin: AsyncIterable<string | Buffer>;
  stdout: Sink;
  stderr: Sink & { isTTY?: boolean };
  /** Connects to the instance that the environment selects. */
  connect(): Promise<DpvsdClient>;
}

/** Exit codes: what scripts test. */
const DONE = 0;
const FAILED = 1;
/** The command line is wrong, or there is no dpvsd. */
const WRONG = 2;
/** Connections whose names are looked up together. */
const ROWS_AT_ONCE = 256;

/** Runs ipvsadm with these arguments (without the program's name) and returns the exit code. */
export async function ipvsadm(args: readonly string[], around: Surroundings): Promise<number> {
  const output = new Output(around.stdout);
  const complain = (text: string) => around.stderr.write(`${text}\n`);
  const json = args.includes('--json');
  const refuse = (error: DpvsdError | UsageError | RestoreError) => {
    const cause = error instanceof RestoreError ? error.cause : error;
    const { code, hint } = cause instanceof DpvsdError ? cause : { code: 'usage', hint: '' };
    if (json) {
      const line = error instanceof RestoreError ? { line: error.line, appliedLines: error.applied } : {};
      complain(JSON.stringify({ error: { code, text: cause.message, hint, ...line } }));
      return;
    }
    complain(error.message);
    if (hint !== '') complain(hint);
    if (error instanceof RestoreError && error.applied > 0) {
      complain(`lines 1 to ${error.applied} are in force, everything after them is not`);
    }
  };

  let invocation: Invocation;
  try {
    invocation = parseCommandLine(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    refuse(error);
    if (!json) complain("Try 'ipvsadm -h' for all options.");
    return WRONG;
  }
  if (invocation.command.kind === 'help') {
    output.line(usage.trimEnd());
    await output.flush();
    return DONE;
  }

  let client: DpvsdClient;
  try {
    client = await around.connect();
  } catch (error) {
    if (!(error instanceof DpvsdError)) throw error;
    if (invocation.command.kind === 'version') {
      output.line('ipvsadm of dpvs-ha');
      await output.flush();
      return DONE;
    }
    if (json) refuse(error);
    else {
      complain(`Can't initialize ipvs: ${error.message}\nAre you sure that dpvs is running?`);
      if (error.hint !== '') complain(error.hint.replace(/^is dpvsd running\? /, ''));
    }
    return WRONG;
  }
  try {
    const run = new Run(client, output, invocation.json, around);
    await run.command(invocation.command);
    await output.flush();
    return DONE;
  } catch (error) {
    await output.flush();
    if (error instanceof RestoreError) {
      refuse(error);
      return error.cause instanceof UsageError ? WRONG : FAILED;
    }
    if (!(error instanceof DpvsdError)) throw error;
    refuse(error);
    return FAILED;
  } finally {
    client.close();
  }
}

class Run {
  constructor(
    readonly client: DpvsdClient,
    readonly output: Output,
    readonly json: boolean,
    readonly around: Surroundings,
  ) {}

  async command(command: Command): Promise<void> {
    switch (command.kind) {
      case 'version':
        this.output.line(`ipvsadm of dpvs-ha, dpvsd ${this.client.greeting.version}`);
        return;
      case 'change':
        await this.#change(command.change);
        return;
      case 'restore':
        await this.#restore();
        return;
      case 'save':
        await this.#save();
        return;
      case 'list':
        await this.#list(command);
        return;
      case 'connections':
        await this.#connections(command);
        return;
      case 'local-addresses':
        await this.#localAddresses(command);
        return;
      case 'entries':
        await this.#entries(command);
        return;
      case 'timeouts': {
        const [timeouts] = await this.client.list(Table.TABLE_TIMEOUTS, 'timeouts');
        if (!timeouts) throw new DpvsdError('not-found', 'dpvsd told no time-outs');
        if (this.json) this.output.json(timeouts);
        else this.output.line(timeoutsLine(timeouts));
        return;
      }
      case 'daemon':
        // There is no synchronisation daemon, and where LVS has none running it prints nothing.
        if (this.json) this.output.json([]);
        return;
    }
  }

  /** @throws DpvsdError when --cpu names a worker that is not there */
  #checkCpu({ cpu }: ListOptions): void {
    const { workers } = this.client.greeting;
    if (cpu > workers) throw new DpvsdError('not-found', `--cpu ${cpu}: there are ${workers} workers`);
  }

  async #change(change: Change): Promise<void> {
    const operations = new Operations(this.client);
    if (operations.needsTables(change)) {
      await operations.readTables(change.kind === 'edit-service' ? change.key : serviceOf(change));
    }
    const applied = await this.client.apply([operations.operation(change)]);
    const note = noteOn(attributesOf(change));
    if (this.json) this.output.json(note === undefined ? applied : { ...applied, note });
    else if (note !== undefined) this.around.stderr.write(`${note}\n`);
  }

  async #restore(): Promise<void> {
    const { stdin, stderr } = this.around;
    let shown = false;
    const restored = await restore(this.client, stdin, (done, of) => {
      if (!stderr.isTTY) return;
      shown = true;
      stderr.write(`\rrestoring: ${done} of ${of} lines`);
    });
    if (shown) stderr.write(`\rrestored ${restored.lines} lines in ${restored.batches} batches\n`);
    if (this.json) this.output.json(restored);
  }

  async #save(): Promise<void> {
    if (this.json) {
      const found = await readVirtualServers(this.client, { locals: true, entries: true, sort: true });
      this.output.json(found.map((each) => virtualServerJson(each, false)));
      return;
    }
    for await (const each of readToSave(this.client)) {
      for (const line of saveLines(each)) this.output.line(line);
      if (this.output.full) await this.output.flush();
    }
  }

  async #list({ view, service, options }: Command & { kind: 'list' }): Promise<void> {
    this.#checkCpu(options);
    const found = await readVirtualServers(this.client, {
      service,
      cpu: options.cpu,
      sort: options.sort,
      locals: this.json,
      entries: this.json,
    });
    mustExist(service, found);
    if (this.json) {
      this.output.json(found.map((each) => virtualServerJson(each, true)));
      return;
    }
    const names = await namesFor(options.numeric);
    await names.learn(found.flatMap(serverEndpoints));
    if (!service) this.output.line(versionLine(this.client.greeting.version));
    for (const line of titleLines(view)) this.output.line(line);
    for (const each of found) {
      for (const line of serviceLines(each, { view, exact: options.exact, names })) await this.#line(line);
    }
  }

  async #connections({
    templates,
    service,
    filter,
    options,
  }: Command & { kind: 'connections' }): Promise<void> {
    this.#checkCpu(options);
    const cpu = options.cpu > 0 ? { perWorker: true, worker: options.cpu } : {};
    const narrow = { ...(service ? { service } : {}), ...(filter ? { connection: filter } : {}), ...cpu };
    const table = templates ? Table.TABLE_TEMPLATES : Table.TABLE_CONNECTIONS;
    const names = await namesFor(options.numeric || this.json);
    let count = 0;
    let rows: (ConnectionRow | TemplateRow)[] = [];
    const print = async () => {
      await names.learn(rows.flatMap(rowEndpoints));
      for (const row of rows) {
        const connection = 'state' in row;
        if (!this.json) await this.#line(connection ? connectionLine(row, names) : templateLine(row, names));
        else {
          const value = connection ? connectionJson(row) : templateJson(row);
          await this.#line(`${count === 0 ? '[' : ','}${JSON.stringify(value)}`);
        }
        count++;
      }
      rows = [];
    };
    for await (const { row } of this.client.get(table, narrow)) {
      if (row.$case !== 'connection' && row.$case !== 'template') continue;
      if (options.cpu > 0 && row.value.worker !== options.cpu - 1) continue;
      rows.push(row.value);
      if (rows.length >= ROWS_AT_ONCE) await print();
    }
    await print();
    if (this.json) this.output.line(count === 0 ? '[]' : ']');
    else if (filter && count === 0) throw new DpvsdError('not-found', 'there is no such connection');
  }

  async #localAddresses({ service, options }: Command & { kind: 'local-addresses' }): Promise<void> {
    const found = await readVirtualServers(this.client, {
      service,
      cpu: options.cpu,
      locals: true,
      sort: true,
    });
    mustExist(service, found);
    if (this.json) {
      this.output.json(found.map(localAddressesJson));
      return;
    }
    if (found.length > 0) this.output.line(localAddressTitle);
    for (const each of found)
      for (const line of localAddressLines(each, numericNames)) await this.#line(line);
  }

  async #entries({ list, service }: Command & { kind: 'entries' }): Promise<void> {
    const found = await readVirtualServers(this.client, { service, entries: true, sort: true });
    mustExist(service, found);
    for (const each of found) each.entries = each.entries.filter(({ kind }) => kind === list);
    if (this.json) {
      this.output.json(found.map(({ key, entries }) => entriesJson(key, entries)));
      return;
    }
    this.output.line(entryTitle(list === 0 ? 'BLACKLIST' : 'WHITELIST'));
    for (const { key, entries } of found) {
      for (const entry of entries) await this.#line(entryLine(key, entry, numericNames));
    }
  }

  async #line(text: string): Promise<void> {
    this.output.line(text);
    if (this.output.full) await this.output.flush();
  }
}

/** What a change says about a virtual server. */
function attributesOf(change: Change): Partial<Service> {
  if (change.kind === 'edit-service') return change.edits;
  if (change.kind !== 'operation' || change.operation.verb === Verb.VERB_DELETE) return {};
  const object = change.operation.object;
  return object?.$case === 'service' ? object.value : {};
}

function serviceOf(change: Change): ServiceKey | undefined {
  return change.kind === 'edit-server' ? change.service : undefined;
}

function mustExist(service: ServiceKey | undefined, found: VirtualServer[]): void {
  if (service && found.length === 0) {
    throw new DpvsdError('not-found', `there is no service ${serviceWords(service)}`);
  }
}

/** How to write addresses and ports; the resolver is loaded only where it is wanted. */
async function namesFor(numeric: boolean): Promise<Names> {
  if (numeric) return numericNames;
  const { SystemNames } = await import('./system-names.js');
  return new SystemNames();
}

function serverEndpoints({ key, servers }: VirtualServer): NamedEndpoint[] {
  const own = key.fwmark > 0 || key.match ? [] : [key];
  return [...own, ...servers.flatMap(({ server }) => server ?? [])];
}

function rowEndpoints(row: ConnectionRow | TemplateRow): NamedEndpoint[] {
  const server = { address: row.server, port: row.serverPort };
  if (!('state' in row)) return [server];
  return [
    server,
    { address: row.client, port: row.clientPort },
    { address: row.virtual, port: row.virtualPort },
    { address: row.local, port: row.localPort },
  ];
}
