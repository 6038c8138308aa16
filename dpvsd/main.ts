import { readFileSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command } from 'commander';
import { type Conf, parseConf } from './conf/parse.js';
import { format, hasErrors, type Problem } from './conf/problem.js';
import { type Machine, readMachine, realFiles } from './machine.js';
import { socketPath } from './places.js';
import { makePlan } from './plan/plan.js';
import { showPlan } from './plan/show.js';

const DEFAULT_CONF = '/etc/dpvs.conf';
const DEFAULT_PID = '/var/run/dpvs.pid';

/** Written at once and without libuv, which would leave pipes in a state that the native process does not expect. */
function say(fd: 1 | 2, text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
    }
  }
}
const complain = (line: string) => say(2, `dpvsd: ${line}\n`);

interface Options {
  conf: string;
  pid: string;
  ipc: string;
  test: boolean;
  json: boolean;
}

function readConf(path: string, json: boolean): Conf | undefined {
  try {
    return parseConf(readFileSync(path, 'utf8'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code ?? error})`;
    const instead =
      'name another one with -c, or begin with a sample from conf/ (conf/dpvs.conf.vdev.sample needs no NIC)';
    if (json) {
      const problems: Problem[] = [{ severity: 'error', line: 0, what: path, why, instead }];
      say(1, `${JSON.stringify({ conf: path, ok: false, problems }, null, 2)}\n`);
    } else complain(`${path}: ${why}: ${instead}`);
    return undefined;
  }
}

/** Problems on stderr, one line each. Notes are for those who ask for the plan. */
function tell(path: string, problems: Problem[], notes: boolean): void {
  for (const one of problems) if (notes || one.severity !== 'note') say(2, `${format(path, one)}\n`);
}

/** -t: the plan, or what is wrong. @returns the exit code */
function test(options: Options, conf: Conf, machine: Machine, eal: string[]): number {
  const { plan, problems } = makePlan(conf, machine, eal);
  if (options.json) {
    const written = plan && {
      ...plan,
      memory: { ...plan.memory, perNode: Object.fromEntries(plan.memory.perNode) },
    };
    const result = {
      conf: options.conf,
      ok: plan !== undefined,
      problems,
      without: conf.without,
      plan: written,
    };
    say(1, `${JSON.stringify(result, null, 2)}\n`);
  } else {
    tell(options.conf, problems, true);
    if (plan) say(1, showPlan(plan, conf));
    else
      complain(
        `${options.conf}: not usable: ${problems.filter((p) => p.severity === 'error').length} errors`,
      );
  }
  return plan ? 0 : 1;
}

/** Plans, looks for obstacles, and becomes the native process. @returns the exit code when that did not work */
async function start(options: Options, conf: Conf, machine: Machine, eal: string[]): Promise<number> {
  const { plan, problems } = makePlan(conf, machine, eal);
  tell(options.conf, problems, false);
  if (!plan) {
    complain(
      `${options.conf}: not started: mend the errors above; "dpvsd -t" shows the plan, "dpvsd doctor" looks at the machine`,
    );
    return 1;
  }
  const { become, nativeProgram, obstacles, watcherProgram, WATCHER_FLAGS } = await import('./launch.js');
  const found = await obstacles(options.ipc, options.pid);
  for (const line of found) complain(line);
  if (found.length > 0) return 1;
  const { allSettings, settingsText } = await import('./settings.js');
  const path = resolve(options.conf);
  const settings = allSettings(conf, plan, {
    ipc: options.ipc,
    pid: options.pid,
    watch: [process.execPath, ...WATCHER_FLAGS, watcherProgram, '-x', options.ipc],
    reload: [process.execPath, process.argv[1] ?? '', 'reload', '-c', path, '-x', options.ipc],
  });
  try {
    return await become(nativeProgram, plan.eal, settingsText(settings), {
      conf: path,
      eal,
      settings,
      allowed: machine.allowed,
    });
  } catch (error) {
    complain(
      `${nativeProgram} cannot be started: ${error instanceof Error ? error.message : error}: build it anew with "npm run build"`,
    );
    return 1;
  }
}

/** Sends what may change to the running process, and says what may not. @returns the exit code */
async function reload(options: Options, conf: Conf, machine: Machine, eal: string[]): Promise<number> {
  tell(options.conf, conf.problems, false);
  if (hasErrors(conf.problems)) {
    complain(`${options.conf}: not reloaded: nothing was changed`);
    return 1;
  }
  const { DpvsdClient, DpvsdError } = await import('./client.js');
  const { compare, describe, runningSettings, send } = await import('./reload.js');
  const { readStarted } = await import('./started.js');
  try {
    const client = await DpvsdClient.connect({ path: options.ipc, client: 'dpvsd reload' });
    try {
      const started = readStarted(client.greeting.pid);
      const words = eal.length > 0 ? eal : (started?.eal ?? []);
      const allowed = started?.allowed ?? machine.cpus.map((cpu) => cpu.id);
      const { plan, problems } = makePlan(conf, { ...machine, allowed }, words, { running: true });
      const outcome = compare(await runningSettings(client, started), conf, plan);
      await send(client, outcome);
      for (const change of outcome.change) say(1, `changed: ${describe(change)}\n`);
      for (const change of outcome.restart) say(1, `needs a restart: ${describe(change)}\n`);
      if (!plan) {
        tell(options.conf, problems, false);
        complain(
          `${options.conf}: ports and workers as written now could not be started again: mend the errors above`,
        );
        return 1;
      }
      if (outcome.change.length + outcome.restart.length === 0) say(1, 'nothing has changed\n');
      return 0;
    } finally {
      client.close();
    }
  } catch (error) {
    if (!(error instanceof DpvsdError)) throw error;
    complain(`${error.message}${error.hint ? `: ${error.hint}` : ''}`);
    return 1;
  }
}

function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** @param words the command line without program and script. @returns the exit code; never, when dpvsd starts */
async function main(words: string[]): Promise<number> {
  const dashes = words.indexOf('--');
  const own = dashes < 0 ? words : words.slice(0, dashes);
  const eal = dashes < 0 ? [] : words.slice(dashes + 1);
  let code = 0;
  const places = (command: Command) =>
    command
      .option('-c, --conf <file>', 'configuration', DEFAULT_CONF)
      .option('-x, --ipc-file <file>', 'control socket; also from DPVS_IPC_FILE', socketPath());
  const run =
    (act: (options: Options, conf: Conf, machine: Machine, eal: string[]) => number | Promise<number>) =>
    async (given: { conf: string; pidFile?: string; ipcFile: string; test?: true; json?: true }) => {
      const options: Options = {
        conf: given.conf,
        pid: resolve(given.pidFile ?? DEFAULT_PID),
        ipc: resolve(given.ipcFile),
        test: given.test ?? false,
        json: given.json ?? false,
      };
      const conf = readConf(options.conf, options.json);
      code = conf ? await act(options, conf, readMachine(realFiles), eal) : 1;
    };

  const program = new Command('dpvsd')
    .description(
      'Layer-4 load balancer on DPDK: reads dpvs.conf, plans ports, queues and threads, and starts forwarding.',
    )
    .usage('[-c CONF] [-p PIDFILE] [-x IPCFILE] [-t] [-v] [-h] [-- EAL OPTIONS]')
    .version(`dpvsd ${version()}`, '-v, --version', 'print the version')
    .enablePositionalOptions()
    .showHelpAfterError('(dpvsd -h lists the options; what follows "--" goes to DPDK)');
  places(program)
    .option('-p, --pid-file <file>', 'pid file', DEFAULT_PID)
    .option('-t, --test', 'check the configuration and print the plan, without starting anything')
    .option('--json', 'with -t: print the plan as JSON')
    .allowExcessArguments(false)
    .action(run((options, ...rest) => (options.test ? test(options, ...rest) : start(options, ...rest))));
  places(
    program
      .command('reload')
      .description('read the configuration again and send what may change to the running dpvsd'),
  ).action(run(reload));
  program
    .command('doctor')
    .description('look at this machine and say what keeps dpvsd from running well, and how to mend it')
    .option('-c, --conf <file>', 'configuration, if there is one', DEFAULT_CONF)
    .option('--json', 'print the findings as JSON')
    .action(async (given: { conf: string; json?: true }) => {
      const { examine, showFindings, worst } = await import('./doctor/doctor.js');
      const findings = examine(realFiles, given.conf, process.getuid?.() ?? 0, eal);
      say(1, given.json ? `${JSON.stringify(findings, null, 2)}\n` : showFindings(findings));
      code = worst(findings) === 'bad' ? 1 : 0;
    });
  await program.parseAsync(own, { from: 'user' });
  return code;
}

process.exitCode = await main(process.argv.slice(2));
