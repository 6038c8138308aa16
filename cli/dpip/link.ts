import { DpvsdError } from '../../dpvsd/client.js';
import { type Link, type LinkRow, Table, Verb } from '../../dpvsd/generated/control.js';
import { parseMac } from '../address.js';
import { UsageError } from '../usage.js';
import { type Counter, readCounters } from './counters.js';
import {
  counterLines,
  linkJson,
  linkLines,
  linkRateLines,
  linkRates,
  linkStatLines,
  linkVerboseLines,
  workerJson,
  workerLines,
  workerRateLines,
  workerStatLines,
} from './link-text.js';
import { type Action, apply, type Context, type DpipObject } from './object.js';
import { twinRateLines, twinRates } from './twin-rates.js';
import { Arguments, type Globals } from './words.js';

/** Ports and workers of the dataplane: `dpip link`. */
export const link: DpipObject = {
  name: 'link',
  usage: `\
    dpip [-v] [-s [-i SECONDS [-c COUNT]]] link show [DEVICE]
    dpip [-s [-i SECONDS [-c COUNT]]] link show {cpu | cpuN}
    dpip link show BOND status
    dpip link set DEVICE ITEM VALUE
  ITEM VALUE := promisc on|off, allmulticast on|off, forward2kni on|off, tc-egress on|off, tc-ingress on|off,
                link up|down, lldp up|down, addr MAC, mtu BYTES
  -s: counters of ports and workers, and named counters of the dataplane with the reasons of drops (-v: those at 0 too)`,

  parse(command, words, globals) {
    if (command === 'set') return setCommand(words);
    if (command !== 'show') throw new UsageError(`a link cannot be told to '${command}'`);
    const given = new Arguments(words, [], ['status'], 1);
    const [name = ''] = given.rest;
    if (globals.count !== undefined && globals.interval === undefined)
      throw new UsageError('-c needs -i SECONDS');
    if (given.has('status')) return bondStatus(name);
    const cpu = /^cpu(\d*)$/.exec(name);
    if (cpu) return showWorkers(cpu[1] === '' ? undefined : Number(cpu[1]), globals);
    return showLinks(name, globals);
  },
};

function setCommand(words: readonly string[]): Action {
  const [device, item, value, ...more] = words;
  if (device === undefined || item === undefined || value === undefined || more.length > 0) {
    throw new UsageError('link set needs a device, an item and a value');
  }
  const among = (...choices: string[]): string => {
    if (!choices.includes(value))
      throw new UsageError(`${item} '${value}': ${choices.join(' or ')} is wanted`);
    return value;
  };
  const change: Partial<Link> = {};
  switch (item) {
    case 'promisc':
      change.promiscuous = among('on', 'off');
      break;
    case 'allmulticast':
      change.allmulticast = among('on', 'off');
      break;
    case 'forward2kni':
      change.forward2kni = among('on', 'off');
      break;
    case 'tc-egress':
      change.tcEgress = among('on', 'off');
      break;
    case 'tc-ingress':
      change.tcIngress = among('on', 'off');
      break;
    case 'link':
      change.link = among('up', 'down');
      break;
    case 'lldp':
      change.lldp = among('up', 'down');
      break;
    case 'addr': {
      const mac = parseMac(value);
      if (!mac) throw new UsageError(`'${value}' is no MAC address (00:1b:21:aa:bb:cc)`);
      change.mac = mac;
      break;
    }
    case 'mtu':
      if (!/^\d{2,5}$/.test(value)) throw new UsageError(`mtu '${value}': a number of bytes is wanted`);
      change.mtu = Number(value);
      break;
    default:
      if (item.startsWith('bond-')) {
        throw new UsageError(
          `${item}: bonding devices are configured in dpvs.conf, they cannot be changed while running`,
        );
      }
      throw new UsageError(`a link has no item '${item}'`);
  }
  return apply([{ verb: Verb.VERB_EDIT, object: { $case: 'link', value: { device, ...change } } }]);
}

async function readLinks({ client }: Context, device: string): Promise<LinkRow[]> {
  const rows = await client.list(Table.TABLE_LINKS, 'link', { device });
  if (device !== '' && rows.length === 0) {
    throw new DpvsdError('not-found', `there is no device '${device}'`, "'dpip link show' lists them");
  }
  return rows;
}

function bondStatus(device: string): Action {
  return async (context) => {
    const [row] = await readLinks(context, device);
    throw new DpvsdError(
      'unsupported',
      row?.driver === 'net_bonding'
        ? `${device}: this dataplane does not tell the state of bonds yet`
        : `${device} is no bond`,
    );
  };
}

function showLinks(device: string, globals: Globals): Action {
  return async (context) => {
    const { client, output } = context;
    if (globals.json && globals.stats && globals.interval !== undefined)
      return await linkRatesJson(context, device);
    const [rows, memory, workers] = await Promise.all([
      readLinks(context, device),
      globals.stats ? client.list(Table.TABLE_MEMORY, 'memory') : [],
      globals.verbose ? client.list(Table.TABLE_WORKERS, 'lcore') : [],
    ]);
    if (globals.json) {
      const counters = globals.stats && device === '' ? { counters: await readCounters(client) } : undefined;
      const links = rows.map((row) => linkJson(row, globals.stats));
      output.json(counters ? { links, ...counters } : links);
      return;
    }
    for (const row of rows) {
      for (const line of linkLines(row)) output.line(line);
      if (globals.stats && globals.interval === undefined) {
        for (const line of linkStatLines(row, memory)) output.line(line);
      }
      if (globals.verbose) for (const line of linkVerboseLines(row, workers)) output.line(line);
    }
    if (!globals.stats) return;
    if (globals.interval === undefined) {
      // Named counters belong to the whole dataplane, not to one of its ports.
      if (device !== '') return;
      for (const line of counterLines(await readCounters(client), globals.verbose)) output.line(line);
      return;
    }
    const names = rows.map((row) => row.device);
    await repeat(
      context,
      () => lookAtLinks(context, device),
      function* (before, after, seconds) {
        for (const [then, now] of both(before, after)) {
          if (names.length > 1) yield `${now.device}:`;
          yield* linkRateLines(then, now, seconds);
          const rates = twinRates(now, before.counters, after.counters, seconds);
          if (rates) yield* twinRateLines(now, rates);
        }
      },
    );
  };
}

interface LinkLook {
  rows: LinkRow[];
  /** Named ones: those of twins are among them. */
  counters: Counter[];
}

async function lookAtLinks(context: Context, device: string): Promise<LinkLook> {
  const [rows, counters] = await Promise.all([readLinks(context, device), readCounters(context.client)]);
  return { rows, counters };
}

/** Ports that were there at both looks. */
function* both(before: LinkLook, after: LinkLook): Generator<[LinkRow, LinkRow]> {
  for (const now of after.rows) {
    const then = before.rows.find(({ device }) => device === now.device);
    if (then) yield [then, now];
  }
}

/** One line of JSON for each look. */
async function linkRatesJson(context: Context, device: string): Promise<void> {
  await repeat(
    context,
    () => lookAtLinks(context, device),
    function* (before, after, seconds) {
      const links = [...both(before, after)].map(([then, now]) => ({
        device: now.device,
        rates: linkRates(then, now, seconds),
        ...(now.twin === ''
          ? {}
          : { twin: { name: now.twin, ...twinRates(now, before.counters, after.counters, seconds) } }),
      }));
      yield JSON.stringify({ seconds, links });
    },
  );
}

function showWorkers(cpu: number | undefined, globals: Globals): Action {
  return async (context) => {
    const { client, output } = context;
    const read = async () => {
      const rows = await client.list(Table.TABLE_WORKERS, 'lcore');
      // The master and its kind first, as DPVS lists them.
      const sorted = [...rows].sort((a, b) => Number(a.role === 'worker') - Number(b.role === 'worker'));
      const chosen = cpu === undefined ? sorted : sorted.filter((row) => row.cpu === cpu);
      if (chosen.length === 0)
        throw new DpvsdError('not-found', `no thread of dpvsd runs on cpu${cpu ?? ''}`);
      const counters = globals.stats ? await readCounters(client) : undefined;
      return { rows: chosen, counters };
    };
    const now = await read();
    if (globals.json) {
      output.json(now.rows.map((row) => workerJson(row, now.counters)));
      return;
    }
    const repeated = globals.stats && globals.interval !== undefined;
    let plane: string | undefined;
    for (const row of now.rows) {
      const its = row.role === 'worker' ? '<< Data Plane >>' : '<< Controll Plane >>';
      if (cpu === undefined && its !== plane) output.line(its);
      plane = its;
      for (const line of workerLines(row)) output.line(line);
      if (now.counters && !repeated) {
        for (const line of workerStatLines(row, now.counters, globals.verbose)) output.line(line);
      }
    }
    if (!repeated) return;
    await repeat(context, read, function* (before, after, seconds) {
      for (const then of before.rows) {
        const row = after.rows.find(({ lcore }) => lcore === then.lcore);
        if (!row) continue;
        if (before.rows.length > 1) yield `cpu${row.cpu}:`;
        yield* workerRateLines(then, row, seconds);
      }
    });
  };
}

const colors = ['\x1b[34m', '\x1b[32m'];

/** Looks at something again and again, and prints what changed per second. */
async function repeat<Look>(
  { output, globals, sleep }: Context,
  read: () => Promise<Look>,
  lines: (before: Look, after: Look, seconds: number) => Iterable<string>,
): Promise<void> {
  let before = await read();
  let at = performance.now();
  await output.flush();
  for (let n = 0; globals.count === undefined || n < globals.count; n++) {
    if (!(await sleep(globals.interval ?? 1))) return;
    const after = await read();
    const now = performance.now();
    if (globals.color) output.text(colors[n % 2]!);
    for (const line of lines(before, after, (now - at) / 1000)) output.line(line);
    if (globals.color) output.text('\x1b[0m');
    await output.flush();
    [before, at] = [after, now];
  }
}
