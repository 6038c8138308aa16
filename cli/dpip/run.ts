import { type DpvsdClient, DpvsdError } from '../../dpvsd/client.js';
import { nearest } from '../../lib/nearest.js';
import { OptionTable, type Words } from '../getopt.js';
import { Output, type Sink } from '../output.js';
import { UsageError } from '../usage.js';
import { absentObjects } from './absent.js';
import { addr } from './addr.js';
import { ealMem } from './eal-mem.js';
import { flow } from './flow.js';
import { link } from './link.js';
import { maddr } from './maddr.js';
import { neigh } from './neigh.js';
import type { CommandWord } from './object.js';
import { route } from './route.js';
import type { Globals } from './words.js';

export interface Surroundings {
  stdout: Sink;
  stderr: Sink;
  connect(): Promise<DpvsdClient>;
  /** Waits; resolves to false when the operator interrupted. */
  sleep(seconds: number): Promise<boolean>;
}

const objects = new Map(
  [link, addr, route, neigh, maddr, flow, ealMem, ...absentObjects].map((each) => [each.name, each]),
);

const commandWords: Record<string, CommandWord | 'help'> = {
  show: 'show',
  list: 'show',
  add: 'add',
  del: 'del',
  set: 'set',
  change: 'set',
  replace: 'replace',
  flush: 'flush',
  create: 'create',
  destroy: 'destroy',
  test: 'test',
  enable: 'enable',
  disable: 'disable',
  help: 'help',
};

const options = new OptionTable([
  { long: 'verbose', short: 'v' },
  { long: 'help', short: 'h' },
  { long: 'version', short: 'V' },
  { long: 'inet', short: '4' },
  { long: 'inet6', short: '6' },
  { long: 'family', short: 'f', argument: 'required' },
  { long: 'stats', short: 's', also: ['statistics'] },
  { long: 'interval', short: 'i', argument: 'required' },
  { long: 'count', short: 'c', argument: 'required' },
  { long: 'color', short: 'C' },
  { long: 'debug', short: 'D' },
  // Taken for the sake of scripts; nothing here asks back, so there is nothing to force.
  { long: 'force', short: 'F' },
  { long: 'json', short: 'j' },
]);

const usage = `\
Usage:
    dpip [OPTIONS] OBJECT { COMMAND | help }
Parameters:
    OBJECT  := { ${[...objects.keys()].join(' | ')} }
    COMMAND := { show (list) | add | del | set (change) | replace | flush }
Options:
    -v, --verbose            more of it
    -4, -6, -f inet|inet6    this family only
    -s, --stats              counters; -i SECONDS repeats them as rates, -c COUNT that many times
    -C, --color              colours for repeated statistics
    -F, --force
    -j, --json               results, and errors on standard error, as JSON
    -h, --help   -V, --version
DPVS_IPC_FILE names the control socket of another instance (default /var/run/dpvs.ipc).
Exit code: 0 done, 1 anything else.`;

/** Runs dpip with these arguments (without the program's name) and returns the exit code. */
export async function dpip(args: readonly string[], around: Surroundings): Promise<number> {
  const output = new Output(around.stdout);
  const complain = (text: string) => around.stderr.write(`${text}\n`);
  // As far as one can tell of a command line that may not be readable.
  let json = args.includes('--json') || args.includes('-j');
  /** A command line that is wrong: what, and how it is written. */
  const refuse = (text: string, help: string, hint = 'dpip -h shows all of it') => {
    if (json)
      complain(JSON.stringify({ error: { code: 'usage', text: text || 'nothing to do is named', hint } }));
    else complain(text === '' ? help : `dpip: ${text}\n${help}`);
    return 1;
  };
  const print = async (text: string): Promise<number> => {
    output.line(text);
    await output.flush();
    return 0;
  };
  if (args.length === 0) return await print(usage);

  let words: Words;
  let globals: Globals;
  try {
    words = options.parse(args);
    globals = globalsOf(words);
    json = globals.json;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return refuse(error.message, usage);
  }
  const asked = (long: string) => words.options.some((option) => option.long === long);
  if (asked('version')) return await print('dpip of dpvs-ha');
  const [name, verb, ...rest] = words.rest;
  if (name === undefined) {
    if (asked('help')) return await print(usage);
    return refuse('', usage);
  }
  const object = objects.get(name);
  if (!object) {
    const meant = nearest(name, objects.keys());
    const text = `invalid object '${name}'${meant ? `, did you mean '${meant}'?` : ''}`;
    if (json) return refuse(text, usage);
    complain(`dpip: ${text}, use '-h' for help.`);
    return 1;
  }
  const objectUsage = `Usage:\n${object.usage}`;
  const objectHint = `dpip ${name} help shows how it is written`;
  const command = verb === undefined ? undefined : commandWords[verb];
  if (asked('help') || command === 'help') return await print(objectUsage);
  if (command === undefined) {
    const what = verb === undefined ? `${name} needs a command` : `invalid command '${verb}'`;
    return refuse(what, objectUsage, objectHint);
  }

  let client: DpvsdClient | undefined;
  try {
    const action = object.parse(command, rest, globals);
    client = await around.connect();
    await action({ client, output, globals, sleep: around.sleep });
    await output.flush();
    return 0;
  } catch (error) {
    await output.flush();
    if (error instanceof UsageError) return refuse(error.message, objectUsage, objectHint);
    if (!(error instanceof DpvsdError)) throw error;
    const { code, message, hint } = error;
    complain(globals.json ? JSON.stringify({ error: { code, text: message, hint } }) : `dpip: ${message}`);
    if (!globals.json && hint !== '') complain(hint);
    return 1;
  } finally {
    client?.close();
  }
}

function globalsOf({ options: given }: Words): Globals {
  const globals: Globals = {
    verbose: false,
    family: undefined,
    stats: false,
    interval: undefined,
    count: undefined,
    color: false,
    json: false,
  };
  for (const { long, typed, value } of given) {
    switch (long) {
      case 'verbose':
      case 'stats':
      case 'color':
      case 'json':
        globals[long] = true;
        break;
      case 'inet':
      case 'inet6':
        globals.family = long;
        break;
      case 'family':
        if (value !== 'inet' && value !== 'inet6')
          throw new UsageError(`${typed} '${value}': inet or inet6 is wanted`);
        globals.family = value;
        break;
      case 'interval':
      case 'count': {
        const number = Number(value);
        const whole = long === 'interval' || Number.isInteger(number);
        if (!(number > 0) || !whole) throw new UsageError(`${typed} '${value}': a number above 0 is wanted`);
        globals[long] = number;
        break;
      }
    }
  }
  if (globals.count !== undefined && globals.interval === undefined)
    throw new UsageError('-c needs -i SECONDS');
  return globals;
}
