import { fork, spawnSync } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { release, version } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CLONE_NEWNET, setns, setProcessName } from '../lib/libc.js';
import { Log } from '../lib/log.js';
import { FrontDoor, parseFor } from './front-door.js';
import { format } from './grammar/diagnostics.js';
import { consoleOrSyslog, type LogTarget } from './logging.js';
import { helpText, type Options, readOptions } from './options.js';
import { pidFile } from './pid-files.js';
import { runningProcess } from './safe-file.js';
import { handleSignals, signalNumbers } from './signals.js';
import { UPSTREAM_VERSION, VERSION } from './version.js';
import { writeModel } from './write.js';

/** Exit codes of keepalived (for running; those of `-t` are in diagnostics). */
const EXIT_FATAL = 1;
const EXIT_CONFIG = 2;

/** Set in the process that has gone into the background. */
const BACKGROUND = 'DPVS_HA_BACKGROUND';

async function main(argv: string[]): Promise<void> {
  // First, because its options have other meanings.
  if (argv[0] === '-T' || argv[0] === '--genhash') {
    // Only here: it brings the checks themselves with it.
    const { genhash } = await import('./genhash.js');
    process.exitCode = await genhash(argv.slice(1));
    return;
  }
  const options = readOptions(argv);
  if (!('error' in options) && options.genhash) {
    process.stderr.write('--genhash must be the first option\n');
    process.exitCode = EXIT_FATAL;
    return;
  }
  if ('error' in options) {
    process.stderr.write(`${options.error}\n`);
    process.exitCode = EXIT_FATAL;
    return;
  }
  if (options.help) {
    process.stderr.write(helpText());
    return;
  }
  if (options.version) {
    process.stderr.write(versionText());
    return;
  }
  if (options.signum !== undefined) {
    process.exitCode = printSignal(options.signum);
    return;
  }
  if (options.extra.length > 0) process.stderr.write(`Unexpected argument(s): ${options.extra.join(' ')}\n`);
  if (options.configTest !== undefined) {
    process.exitCode = configTest(options, options.configTest);
    return;
  }
  run(options, argv);
}

function versionText(): string {
  return [
    `Keepalived v${UPSTREAM_VERSION} (dpvs-ha ${VERSION})`,
    '',
    `Running on ${release()} ${version()}`,
    `Node ${process.version}`,
    '',
    'Config options:  LVS REGEX VRRP VRRP_AUTH VRRP_VMAC JSON BFD DPVS SYSTEMD_NOTIFY',
    '',
  ].join('\n');
}

function printSignal(name: string): number {
  const number = Object.hasOwn(signalNumbers, name)
    ? signalNumbers[name as keyof typeof signalNumbers]
    : undefined;
  if (number === undefined) {
    process.stderr.write(`Unknown sigfunc ${name}\n`);
    return EXIT_FATAL;
  }
  process.stdout.write(`${number}\n`);
  return 0;
}

/** `-t`: the same reading and checking as for a start, findings as lines, the exit code of keepalived. */
function configTest(options: Options, file: string): number {
  const parsed = parseFor(options);
  const { findings, omitted } = parsed.diagnostics;
  const lines = findings.map((finding) => `${format(finding)}\n`);
  if (omitted > 0) lines.push(`... and ${omitted} more findings\n`);
  let fd = 2;
  if (file !== '') {
    try {
      fd = openSync(file, 'a');
    } catch (error) {
      process.stderr.write(`${file}: ${(error as Error).message}\n`);
    }
  }
  writeAll(fd, lines.join(''));
  if (fd !== 2) closeSync(fd);
  if (options.dumpConf) writeAll(1, writeModel(parsed.model));
  const dialect = parsed.model.global.dialect === 'dpvs' ? 'dpvs' : 'upstream';
  if (!parsed.found && dialect === 'dpvs') return 3;
  return parsed.diagnostics.exitCode(dialect);
}

/** Writes even to a pipe that takes little at a time. */
function writeAll(fd: number, text: string): void {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
    }
  }
}

function run(options: Options, argv: string[]): void {
  options.file = resolve(options.file);
  const logTarget: LogTarget = {
    ...(options.noSyslog ? {} : { facility: options.facility }),
    ...(options.logConsole ? { console: true } : {}),
    ...(options.logFile === undefined ? {} : { file: options.logFile }),
    ...(options.logDetail > 0 ? { detail: true } : {}),
  };
  const log = new Log(consoleOrSyslog('Keepalived', logTarget), options.logDetail > 0 ? 'debug' : 'info');
  if (options.umask !== undefined) process.umask(options.umask);
  const background = process.env[BACKGROUND] === '1';
  const inBackground = !options.dontFork && !background;

  const parsed = parseFor(options);
  if (!background) {
    log.info(`Starting Keepalived v${UPSTREAM_VERSION} (dpvs-ha ${VERSION})`);
    log.info(`Running on ${release()} ${version()}`);
    log.info(`Command line: '${['keepalived', ...argv].join("' '")}'`);
    log.info(`Configuration file ${options.file}`);
    for (const sentence of options.withoutEffect) log.info(sentence);
  }
  if (!inBackground) {
    for (const finding of parsed.diagnostics.findings) log.info(format(finding));
    if (parsed.diagnostics.omitted > 0) log.info(`... and ${parsed.diagnostics.omitted} more findings`);
  }
  if (parsed.diagnostics.unusable) {
    const finding = parsed.diagnostics.findings.find((one) => one.kind === 'missing-parameter');
    log.error(`Configuration cannot be used${finding ? `: ${format(finding)}` : ''}`);
    process.stderr.write(
      `keepalived: configuration cannot be used${finding ? `: ${format(finding)}` : ''}\n`,
    );
    process.exitCode = EXIT_CONFIG;
    return;
  }
  const { global } = parsed.model;
  if (options.dumpConf) for (const line of writeModel(parsed.model).trimEnd().split('\n')) log.info(line);
  if (options.coreDump) allowCoreFiles(log);
  let pidPath = '';
  try {
    pidPath = pidFile('parent', options, global);
  } catch (error) {
    // Said once more when it cannot be written either.
    log.error(`pid file: ${(error as Error).message}`);
  }
  const other = runningProcess(pidPath);
  if (other !== undefined) {
    log.warning(`daemon is already running (pid ${other}, ${pidPath})`);
    process.stderr.write(`keepalived: daemon is already running (pid ${other}, ${pidPath})\n`);
    return;
  }
  if (inBackground) {
    goIntoBackground(argv);
    return;
  }
  if (global.netNamespace !== undefined && !enterNamespace(global.netNamespace, log)) {
    process.exitCode = EXIT_FATAL;
    return;
  }
  // No folder of the machine shall be busy because of us, and nothing but a signal ends us.
  if (background) process.chdir('/');
  setInterval(() => {}, 2 ** 30);
  // What pidof and pgrep look for.
  setProcessName(global.processName ?? 'keepalived');
  const door = new FrontDoor(parsed.model, {
    options,
    log,
    logTarget,
    onStarted() {
      if (!background) return;
      process.send?.('started');
      process.disconnect?.();
    },
    // What is still open (timers, pipes of scripts) must not keep the process.
    exit: (code) => process.exit(code),
  });
  const missing = handleSignals(
    {
      reload: () => door.reload(),
      stop: (signal) => void door.stop(signal),
      dump: (kind) => void door.dump(kind),
    },
    options.ignoreSigint,
  );
  if (missing.length > 0)
    log.warning(`this Node cannot take signals ${missing.join(', ')}: JSON dumps by signal do not work`);
  process.on('uncaughtException', (error) => {
    log.error(`internal error: ${error.stack ?? error.message}`);
    void door.stop('an internal error', EXIT_FATAL);
  });
  void door.start();
}

/** `-m`: a crash of this process or one of its sidecars leaves a core file, wherever the machine puts those. */
function allowCoreFiles(log: Log): void {
  const done = spawnSync('prlimit', ['--pid', String(process.pid), '--core=unlimited:unlimited'], {
    encoding: 'utf8',
  });
  if (done.status !== 0)
    log.warning(`core files are not allowed: ${(done.error?.message ?? done.stderr).trim()}`);
}

/** Starts this program anew without a terminal, waits until it runs, and leaves it alone. */
function goIntoBackground(argv: string[]): void {
  const child = fork(fileURLToPath(import.meta.url), argv, {
    detached: true,
    env: { ...process.env, [BACKGROUND]: '1' },
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  child.on('message', () => {
    child.disconnect();
    child.unref();
    process.exit(0);
  });
  child.on('error', (error) => {
    process.stderr.write(`keepalived: cannot go into the background: ${error.message}\n`);
    process.exit(EXIT_FATAL);
  });
  child.on('exit', (code) => process.exit(code ?? EXIT_FATAL));
}

/** Moves this thread, and with it all sidecars that it starts, into a network namespace. */
function enterNamespace(name: string, log: Log): boolean {
  const path = name.includes('/') ? name : `/run/netns/${name}`;
  try {
    const fd = openSync(path, 'r');
    try {
      setns(fd, CLONE_NEWNET);
    } finally {
      closeSync(fd);
    }
    return true;
  } catch (error) {
    log.error(`Unable to enter network namespace ${name}: ${(error as Error).message}`);
    return false;
  }
}

void main(process.argv.slice(2));
