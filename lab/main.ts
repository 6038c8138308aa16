import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import type { Server } from 'node:net';
import { runCluster } from './cluster-live.js';
import { Interruption } from './interruption.js';
import { keepalivedConf, sampleFile } from './keepalived.js';
import { Lab } from './lab.js';
import { whyNoLab } from './needs.js';
import { give, listenForOrders, type Order, orders } from './orders.js';
import { runPair } from './pair-live.js';
import { families } from './plan.js';
import { HTTP_PORT, UDP_PORT } from './ports.js';
import { type LabRecord, listLabs, removeStaleLabs } from './registry.js';
import { Screen } from './screen.js';
import { hintLines, statusLines } from './show.js';
import { balanceOf, type Snapshot, Statistics } from './statistics.js';
import { failures, type Target, Traffic } from './traffic-plan.js';

const usage = `usage: npm start [-- OPTIONS]            runs a lab: a client, a director, real servers, and traffic
       npm run lab -- exec [-l ID] HOST COMMAND...   runs a command on a host of a running lab
       npm run lab -- pair                  two directors, one of them active; press a key to break something
       npm run lab -- cluster               two directors behind a router with FRR; press a key to break something
       npm run lab -- stop|start [-l ID] SERVER      ends or starts the programs of a real server
       npm run lab -- reload [-l ID]        keepalived reads its file again
       npm run lab -- list                  running labs and their hosts
       npm run lab -- clean                 removes what labs of dead processes left behind

  --once            about ten seconds of traffic, prints the result, exits 0 or 1
  --workers N       worker threads of the director, 1-8 (default 1)
  --servers N       real servers, 1-9 (default 3)
  --one-arm         clients and servers at the same port of the director
  --rate N          requests per second, 1-1000 (default 20; with --once 50)
  --conf FILE       the keepalived.conf of the director (default: conf/keepalived.conf.lab.sample)
  --ipvsadm         configures the director with ipvsadm instead: no keepalived, no health checks
  -h, --help        this text`;

interface Options {
  once: boolean;
  workers: number;
  servers: number;
  arms: 1 | 2;
  rate: number | undefined;
  conf: string | undefined;
  ipvsadm: boolean;
}

class UsageError extends Error {}

/** Columns of text that goes to a pipe or a file, where nothing has to fit. */
const WIDE = 200;

function parse(argv: readonly string[]): Options {
  const options: Options = {
    ...{ once: false, workers: 1, servers: 3, arms: 2 },
    ...{ rate: undefined, conf: undefined, ipvsadm: false },
  };
  const args = [...argv];
  const number = (name: string, low: number, high: number): number => {
    const text = args.shift() ?? '';
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < low || value > high)
      throw new UsageError(`${name} wants a number from ${low} to ${high}, not '${text}'`);
    return value;
  };
  for (let name = args.shift(); name !== undefined; name = args.shift()) {
    if (name === '--once') options.once = true;
    else if (name === '--one-arm') options.arms = 1;
    else if (name === '--workers') options.workers = number(name, 1, 8);
    else if (name === '--servers') options.servers = number(name, 1, 9);
    else if (name === '--rate') options.rate = number(name, 1, 1000);
    else if (name === '--ipvsadm') options.ipvsadm = true;
    else if (name === '--conf') {
      options.conf = args.shift() ?? '';
      if (!existsSync(options.conf))
        throw new UsageError(`--conf wants a file, there is no '${options.conf}'`);
    } else throw new UsageError(`unknown option '${name}'`);
  }
  if (options.ipvsadm && options.conf !== undefined)
    throw new UsageError('--conf is for keepalived, which --ipvsadm leaves out');
  return options;
}

/** Runs the lab until it is told to end. @returns the exit code */
async function start(options: Options): Promise<number> {
  const reason = await whyNoLab();
  if (reason) {
    console.error(`lab: ${reason}`);
    return 1;
  }
  const stale = await removeStaleLabs();
  if (stale.length > 0) console.log(`lab: removed what was left of ${stale.length} lab(s) of dead processes`);

  const interruption = new Interruption();
  const servers = options.servers;
  console.log(
    `lab: building a client, a router, a director (${options.workers} worker(s)) and ${servers} real servers`,
  );
  const lab = await Lab.create({ title: 'npm start', ...options, twins: !options.ipvsadm });
  let ears: Server | undefined;
  try {
    ears = await listenForOrders(lab);
    const ready = configure(lab, options);
    // After an interruption nobody waits for it any more, and it fails as its director goes away.
    ready.catch(() => {});
    await Promise.race([interruption.come, ready]);
    if (interruption.happened) return 130;
    return await drive(lab, options, interruption);
  } finally {
    interruption.sayEnding();
    ears?.close();
    await lab.close();
  }
}

/** The text of keepalived.conf: a file of the user's choice, the sample, or the same for another shape of the lab. */
function configurationText(lab: Lab, { conf, arms, servers }: Options): string {
  if (conf !== undefined) return readFileSync(conf, 'utf8');
  return arms === 2 && servers === 3 ? readFileSync(sampleFile, 'utf8') : keepalivedConf(lab.plan);
}

/** Starts dpvsd, gives it addresses with dpip, and HTTP and UDP services in both families with keepalived, or with ipvsadm. */
async function configure(lab: Lab, options: Options): Promise<void> {
  await lab.startDirector();
  if (!options.ipvsadm) {
    await lab.startKeepalived(configurationText(lab, options));
    return;
  }
  const lines = families.flatMap((family) => [
    ...lab.serviceLines(family, 't', HTTP_PORT),
    ...lab.serviceLines(family, 'u', UDP_PORT),
  ]);
  await lab.director.ipvsadm(['-R'], { input: lines.map((line) => `${line}\n`).join('') });
}

/** Sends requests and shows what becomes of them. */
async function drive(lab: Lab, { once, rate }: Options, interruption: Interruption): Promise<number> {
  const targets = families.flatMap((family): Target[] => [
    { kind: 'http', url: `http://${lab.virtual(family, HTTP_PORT)}/` },
    { kind: 'udp', address: lab.plan.virtual[family], port: UDP_PORT },
  ]);
  const traffic = new Traffic(lab.client, {
    targets,
    perSecond: rate ?? (once ? 50 : 20),
    seconds: once ? 10 : Number.MAX_SAFE_INTEGER / 1e6,
    limit: 3000,
  });
  const statistics = new Statistics(lab.record.ipc);
  const read = () => statistics.read().catch(() => undefined);
  try {
    if (once) {
      console.log(`lab: ten seconds of HTTP and UDP requests, IPv4 and IPv6, through ${lab.plan.virtual.v4}`);
      await Promise.race([traffic.finish(), interruption.come]);
      if (interruption.happened) return 130;
      // Workers are read one after the other, while ARP and ND go on: look again when the sums are a packet apart.
      let snapshot = await read();
      for (let round = 0; round < 10 && (!snapshot || balanceOf(snapshot.counters)); round++) {
        await new Promise((resolve) => setTimeout(resolve, 200));
        snapshot = await read();
      }
      console.log(`\n${statusLines(lab, traffic, snapshot, WIDE).join('\n')}\n`);
      return verdict(lab, traffic, targets, snapshot);
    }
    return await watch(lab, traffic, read, interruption);
  } finally {
    statistics.close();
    await traffic.stop().catch(() => {});
  }
}

/** Shows the table until the lab is told to end, or one of its programs has ended. @returns the exit code */
async function watch(
  lab: Lab,
  traffic: Traffic,
  read: () => Promise<Snapshot | undefined>,
  interruption: Interruption,
): Promise<number> {
  const screen = process.stdout.isTTY ? new Screen(process.stdout) : undefined;
  if (!screen) console.log(`${hintLines(lab, WIDE).join('\n')}\n`);
  let snapshot: Snapshot | undefined;
  const ended = () => {
    if (lab.director.ended) return `dpvsd ${lab.director.ended}\n${lab.director.said()}`;
    if (lab.keepalived?.ended) return `keepalived ${lab.keepalived.ended}\n${lab.keepalived.said()}`;
    return undefined;
  };
  try {
    while (!interruption.happened && !ended()) {
      snapshot = await read();
      const status = (columns: number) => statusLines(lab, traffic, snapshot, columns);
      if (screen) {
        const body = (columns: number) => [...status(columns), '', ...hintLines(lab, columns), ''];
        screen.draw(body, 'Ctrl-C ends the lab.');
      } else console.log(`${status(WIDE).join('\n')}\n`);
      await interruption.pause(screen ? 1000 : 5000);
    }
  } finally {
    screen?.close();
    // The terminal shows again what it showed before: the last table belongs there too.
    if (screen) console.log(statusLines(lab, traffic, snapshot, process.stdout.columns).join('\n'));
  }
  const reason = ended();
  if (interruption.happened || !reason) return 0;
  console.error(`lab: ${reason}`);
  return 1;
}

/** Says whether everything went well. @returns the exit code */
function verdict(
  lab: Lab,
  traffic: Traffic,
  targets: readonly Target[],
  snapshot: Snapshot | undefined,
): number {
  const wrong: string[] = [];
  if (failures(traffic.total) > 0)
    wrong.push(`${failures(traffic.total)} of ${traffic.total.requests} requests failed`);
  targets.forEach((target, index) => {
    const silent = lab.servers.filter(({ name }) => !traffic.tallies[index]?.byServer.has(name));
    const to = target.kind === 'http' ? target.url : `udp ${target.address}`;
    if (silent.length > 0) wrong.push(`${to}: no answer from ${silent.map(({ name }) => name).join(' ')}`);
  });
  const balance = snapshot ? balanceOf(snapshot.counters) : 'dpvsd does not tell its counters';
  if (balance) wrong.push(balance);
  if (lab.director.ended) wrong.push(`dpvsd ${lab.director.ended}`);
  if (lab.keepalived?.ended) wrong.push(`keepalived ${lab.keepalived.ended}`);
  for (const line of wrong) console.log(`FAILED: ${line}`);
  if (wrong.length === 0)
    console.log(
      `ok: ${traffic.total.requests} requests, none failed, all ${lab.servers.length} servers answered`,
    );
  return wrong.length === 0 ? 0 : 1;
}

/** The lab that a command means: the one that is named, or the youngest that runs. */
function chosenLab(id: string | undefined): LabRecord | undefined {
  const running = listLabs().filter((lab) => lab.alive);
  return id === undefined ? running.at(-1) : running.find((lab) => lab.id === id);
}

/** `-l ID` at the beginning of a command's arguments chooses a lab. @throws when there is none */
function labOf(argv: readonly string[]): { lab: LabRecord; args: string[] } {
  const [id, args] = argv[0] === '-l' ? [argv[1] ?? '', argv.slice(2)] : [undefined, [...argv]];
  const lab = chosenLab(id);
  if (!lab)
    throw new Error(
      id === undefined ? 'no lab is running: start one with npm start' : `no running lab ${id}`,
    );
  return { lab, args };
}

function exec(argv: readonly string[]): number {
  const { lab, args } = labOf(argv);
  const [name, ...command] = args;
  const hosts = Object.keys(lab.namespaces);
  const namespace = name === undefined ? undefined : lab.namespaces[name];
  if (!namespace || command.length === 0) {
    console.error(`usage: npm run lab -- exec HOST COMMAND...   hosts: ${hosts.join(' ')}`);
    return 2;
  }
  // What the terminal sends on Ctrl-C is for the command; this process waits for it.
  process.on('SIGINT', () => {});
  const done = spawnSync('ip', ['netns', 'exec', namespace, ...command], {
    stdio: 'inherit',
    env: { ...process.env, DPVS_IPC_FILE: (name && lab.ipcs?.[name]) ?? lab.ipc },
  });
  return done.status ?? 1;
}

function list(): number {
  const labs = listLabs();
  for (const { id, alive, title, namespaces } of labs)
    console.log(
      `${id}: ${title}${alive ? '' : ' (its process is dead: npm run lab -- clean)'}\n    ${Object.keys(namespaces).join(' ')}`,
    );
  if (labs.length === 0) console.log('no lab is running');
  return 0;
}

async function clean(): Promise<number> {
  const stale = await removeStaleLabs();
  console.log(stale.length === 0 ? 'nothing to remove' : `removed ${stale.join(' ')}`);
  return 0;
}

async function main(argv: readonly string[]): Promise<number> {
  const [first, ...rest] = argv;
  if (first === '-h' || first === '--help') {
    console.log(usage);
    return 0;
  }
  const order = orders.find((each): each is Order => each === first);
  const subcommand =
    order ||
    first === 'pair' ||
    first === 'cluster' ||
    first === 'exec' ||
    first === 'list' ||
    first === 'clean';
  if (subcommand && process.getuid?.() !== 0) {
    console.error('lab: network namespaces need root: run it with sudo');
    return 1;
  }
  if (first === 'exec') return exec(rest);
  if (first === 'pair') return await runPair();
  if (first === 'cluster') return await runCluster();
  if (order) {
    const { lab, args } = labOf(rest);
    console.log(await give(lab, order, args[0]));
    return 0;
  }
  if (first === 'list') return list();
  if (first === 'clean') return await clean();
  try {
    return await start(parse(argv));
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`lab: ${error.message}\n${usage}`);
      return 2;
    }
    throw error;
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`lab: ${(error as Error).message}`);
  process.exitCode = 1;
}
