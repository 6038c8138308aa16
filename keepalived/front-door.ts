import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname, release } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../lib/clock.js';
import type { Log } from '../lib/log.js';
import { Bulletin } from './bulletin.js';
import { type DumpSource, dumpFile } from './dump-files.js';
import { format } from './grammar/diagnostics.js';
import type { LogTarget } from './logging.js';
import type { Model, RunFlags } from './model/index.js';
import { DEFAULT_FRR_FOLDER } from './model/ospf-bridge.js';
import type { Script } from './model/script.js';
import { runScript } from './notify/script.js';
import type { Options } from './options.js';
import { type Parsed, parse } from './parse.js';
import { type PidFileOf, pidFile, RUN_FOLDER } from './pid-files.js';
import { predecessor } from './predecessor.js';
import { ReloadSchedule } from './reload-time.js';
import { bridgePart } from './resolve/ospf-bridge.js';
import { awaitedServices } from './resolve/vrrp-services.js';
import { removeFile, writeSafely } from './safe-file.js';
import type { DumpKind, SidecarName } from './sidecar.js';
import { Supervisor } from './supervisor.js';
import { feedWatchdog, notifySystemd } from './systemd.js';
import { UPSTREAM_VERSION, VERSION } from './version.js';
import { writeModel } from './write.js';

/** A sidecar as the front door knows it. */
interface Kind {
  name: SidecarName;
  title: string;
  program: string;
  json?: boolean;
  /** How long it may take to answer, milliseconds: those that take over a hundred thousand servers need more than those that must never pause. */
  patience: number;
  /** Options of its Node. */
  nodeOptions?: readonly string[];
  /** Whether the configuration has work for it. */
  wanted(model: Model, options: Options): boolean;
  part(model: Model, run: RunFlags, options: Options): unknown;
}

/** A part that takes longer to come up is in trouble: 100,000 servers take 5 s. Milliseconds. */
const START_LIMIT = 30_000;

const compiled = join(dirname(fileURLToPath(import.meta.url)), '..');

/** `-P` and `-C` choose one of the two parts; both or none of them means both. */
function only(options: Options, part: 'vrrp' | 'checker'): boolean {
  return options.vrrp === options.checker || options[part];
}

const QUICK = 10_000;
const PATIENT = 30_000;

const kinds: Kind[] = [
  {
    name: 'bfd',
    title: 'BFD',
    program: join(compiled, 'bfd', 'main.js'),
    patience: QUICK,
    wanted: (model, options) => !options.noBfd && (options.all || model.bfd.sessions.length > 0),
    part: (model, run) => {
      const { router = 'frr', vty = DEFAULT_FRR_FOLDER } = model.ospfBridge ?? {};
      return { global: model.global, bfd: model.bfd, ...(router === 'frr' ? { frr: vty } : {}), run };
    },
  },
  {
    name: 'healthcheck',
    title: 'Healthcheck',
    program: join(compiled, 'healthcheck', 'main.js'),
    patience: PATIENT,
    json: true,
    wanted: (model, options) =>
      only(options, 'checker') && (options.all || model.loadBalancing.virtualServers.length > 0),
    part: (model, run) => ({ global: model.global, loadBalancing: model.loadBalancing, run }),
  },
  {
    name: 'vrrp',
    title: 'VRRP',
    program: join(compiled, 'vrrp', 'main.js'),
    patience: QUICK,
    // Collection on threads of its own would have to be waited for. What a take-over needs is compiled at the start, and stays
    // compiled however long this node has been backup.
    nodeOptions: ['--single-threaded-gc', '--no-lazy', '--no-flush-bytecode'],
    wanted: (model, options) =>
      only(options, 'vrrp') &&
      (options.all ||
        model.vrrp.instances.length > 0 ||
        model.vrrp.staticAddresses.length + model.vrrp.staticRoutes.length + model.vrrp.staticRules.length >
          0),
    part: (model, run, options) => {
      const { path, driver } = model.loadBalancing.engine.director;
      const checked = only(options, 'checker') && driver === 'dpvsd';
      return {
        global: model.global,
        vrrp: model.vrrp,
        ...(path === undefined ? {} : { controlSocket: path }),
        awaited: checked ? awaitedServices(model) : [],
        run,
      };
    },
  },
  {
    name: 'ospf-bridge',
    title: 'OSPF bridge',
    program: join(compiled, 'ospf-bridge', 'main.js'),
    patience: PATIENT,
    wanted: (model) => model.ospfBridge !== undefined,
    part: (model, run) => bridgePart(model, run),
  },
];

/** Parts that the command line switches off. */
export function partsOff(options: Options): ('vrrp' | 'checker' | 'bfd')[] {
  return [
    ...(only(options, 'vrrp') ? [] : (['vrrp'] as const)),
    ...(only(options, 'checker') ? [] : (['checker'] as const)),
    ...(options.noBfd ? (['bfd'] as const) : []),
  ];
}

/** Reads the configuration that the command line names. */
export function parseFor(options: Options): Parsed {
  const parsed = parse(options.file, {
    ...(options.configId === undefined ? {} : { configId: options.configId }),
    ...(options.dialect === undefined ? {} : { dialect: options.dialect }),
    checkIncludes: options.checkIncludes,
    off: partsOff(options),
  });
  if (options.namespace !== undefined) {
    parsed.model.global.netNamespace = options.namespace;
    parsed.model.global.usePidDir = true;
  }
  return parsed;
}

export interface FrontDoorOptions {
  options: Options;
  log: Log;
  logTarget: LogTarget;
  /** All parts run for the first time. */
  onStarted?: () => void;
  /** How long the start waits for all parts, milliseconds; default 30 s. */
  patience?: number;
  /** What ends the process when all is done. */
  exit: (code: number) => void;
}

/**
 * The parent of the suite: holds the model, runs the sidecars, reloads, dumps, ends. Everything that can be wrong with a new
 * configuration is found before anything of the old one is given up.
 */
export class FrontDoor {
  readonly #options: Options;
  readonly #log: Log;
  readonly #logTarget: LogTarget;
  readonly #exit: (code: number) => void;
  readonly #patience: number;
  readonly #onStarted: () => void;
  readonly #bulletin = new Bulletin((to, news) => this.#sidecars.get(to)?.tell(news));
  #model: Model;
  #generation = 0;
  #applied = new Map<SidecarName, number>();
  #sidecars = new Map<SidecarName, Supervisor<unknown>>();
  /** Those that were told to end and have not yet. */
  #ending = new Map<SidecarName, Promise<void>>();
  #pidFiles = new Map<PidFileOf, string>();
  #reloading: Promise<void> | undefined;
  #reloadAgain = false;
  #stopping = false;
  #started = false;
  #startLimit: NodeJS.Timeout | undefined;
  readonly #schedule: ReloadSchedule;

  constructor(model: Model, { options, log, logTarget, onStarted, patience, exit }: FrontDoorOptions) {
    this.#patience = patience ?? START_LIMIT;
    this.#model = model;
    this.#options = options;
    this.#log = log;
    this.#logTarget = logTarget;
    this.#onStarted = onStarted ?? (() => {});
    this.#exit = exit;
    this.#schedule = new ReloadSchedule(log, () => this.reload());
  }

  /** Starts everything. */
  async start(): Promise<void> {
    const { global } = this.#model;
    if (global.umask !== undefined && this.#options.umask === undefined) process.umask(global.umask);
    this.#writePid('parent', process.pid);
    if (global.startupScript)
      await this.#ownScript('startup', global.startupScript, global.startupScriptTimeout);
    if (this.#stopping) return;
    this.#handOver();
    this.#schedule.follow(this.#model.global);
    this.#startLimit = setTimeout(() => this.#complain(), this.#patience).unref();
    if (this.#sidecars.size === 0) {
      this.#log.warning('Warning - keepalived has no configuration to run');
      this.#complete();
    }
  }

  /** HUP: reads everything anew and takes it over, or says why not and changes nothing. */
  reload(): void {
    if (this.#stopping) return;
    if (this.#reloading) {
      // One reload after this one is enough, however many were asked for.
      this.#reloadAgain = true;
      return;
    }
    this.#reloading = this.#reload().finally(() => {
      this.#reloading = undefined;
      if (this.#reloadAgain) {
        this.#reloadAgain = false;
        this.reload();
      }
    });
  }

  async #reload(): Promise<void> {
    this.#log.info('Reloading ...');
    notifySystemd('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`, 'STATUS=Reloading');
    const refused = this.#takeOver();
    if (refused) this.#log.error(`Configuration not reloaded, everything stays as it is: ${refused}`);
    else this.#schedule.follow(this.#model.global);
    notifySystemd('READY=1', `STATUS=${refused ? 'Running (the last reload was refused)' : 'Running'}`);
  }

  /** @returns why the new configuration cannot be taken; undefined when it is in force */
  #takeOver(): string | undefined {
    const old = this.#model.global;
    const busy = this.#reloadFile();
    let parsed: Parsed;
    try {
      if (busy) this.#attempt('reload_file', () => writeFileSync(busy, ''));
      this.#saveConfiguration('before');
      parsed = parseFor(this.#options);
    } catch (error) {
      return (error as Error).message;
    } finally {
      if (busy) removeFile(busy);
    }
    const { diagnostics, model } = parsed;
    this.#logFindings(parsed);
    if (!parsed.found) return `${this.#options.file} cannot be read`;
    if (parsed.empty) return `${this.#options.file} is empty: somebody seems to be writing it`;
    if (diagnostics.unusable) return 'a keyword has no argument';
    if (diagnostics.truncated) return 'braces or quotes do not match: the file looks incomplete';
    if (old.reloadCheckConfig !== undefined) {
      const code = diagnostics.exitCode('upstream');
      if (code !== 0) {
        const path = old.reloadCheckConfig;
        const findings = `${diagnostics.findings.map(format).join('\n')}\n`;
        this.#attempt('reload_check_config', () => writeFileSync(path, findings));
        return `reload_check_config: the check found errors (${code})`;
      }
    }
    for (const [key, keyword] of [
      ['netNamespace', 'net_namespace'],
      ['netNamespaceIpvs', 'net_namespace_ipvs'],
      ['instance', 'instance'],
      ['nftables', 'nftables'],
      ['tmpConfigDirectory', 'tmp_config_directory'],
      ['disableLocalIgmp', 'disable_local_igmp'],
    ] as const) {
      if (old[key] !== model.global[key])
        return `${keyword} cannot be changed by a reload, only by a restart`;
    }
    this.#model = model;
    this.#handOver();
    this.#saveConfiguration('after');
    return undefined;
  }

  #reloadFile(): string | undefined {
    const name = this.#model.global.reloadFile;
    return name === '' ? join(RUN_FOLDER, 'keepalived.reload') : name;
  }

  /** `config_save_dir`: for the study of what a reload did. */
  #saveConfiguration(when: 'before' | 'after'): void {
    const folder = this.#model.global.configSaveDir;
    if (folder === undefined) return;
    try {
      mkdirSync(folder, { recursive: false });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
        this.#log.warning(`config_save_dir: ${(error as Error).message}`);
        return;
      }
    }
    const stem = join(folder, `${basename(this.#options.file)}.${this.#generation}.${when}`);
    this.#attempt('config_save_dir', () => {
      // Whole or not at all: half a configuration would be studied in vain.
      writeSafely(`${stem}.conf`, readFileSync(this.#options.file));
      writeSafely(`${stem}.model`, writeModel(this.#model));
    });
  }

  /** What is good to have but must not stop a reload. */
  #attempt(keyword: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#log.warning(`${keyword}: ${(error as Error).message}`);
    }
  }

  #logFindings(parsed: Parsed): void {
    for (const finding of parsed.diagnostics.findings) this.#log.info(format(finding));
    if (parsed.diagnostics.omitted > 0) this.#log.info(`... and ${parsed.diagnostics.omitted} more findings`);
  }

  /** Gives each sidecar its part; starts those that are needed now, ends those that are not any more. */
  #handOver(): void {
    this.#generation++;
    for (const kind of kinds) this.#follow(kind);
  }

  #follow(kind: Kind): void {
    const running = this.#sidecars.get(kind.name);
    if (!kind.wanted(this.#model, this.#options)) {
      if (!running) return;
      this.#sidecars.delete(kind.name);
      const gone = running.stop(this.#model.global.childWaitTime).then(() => {
        this.#ending.delete(kind.name);
        this.#removePid(kind.name);
        // A later reload may have asked for it again.
        if (!this.#stopping) this.#follow(kind);
      });
      this.#ending.set(kind.name, gone);
      return;
    }
    // Two of a kind would take away what the other one puts in place.
    if (this.#ending.has(kind.name)) return;
    if (!existsSync(kind.program)) {
      this.#log.error(`${kind.title} is configured, but ${kind.program} is not there: it does not run`);
      return;
    }
    const sidecar = running ?? this.#sidecar(kind);
    this.#sidecars.set(kind.name, sidecar);
    sidecar.apply(kind.part(this.#model, this.#runFlags(), this.#options), this.#generation);
  }

  #runFlags(): RunFlags {
    const { releaseVips, dontReleaseVrrp, dontReleaseIpvs, addressMonitoring } = this.#options;
    return { releaseVips, dontReleaseVrrp, dontReleaseIpvs, addressMonitoring };
  }

  #sidecar(kind: Kind): Supervisor<unknown> {
    return new Supervisor<unknown>({
      name: kind.name,
      title: kind.title,
      program: kind.program,
      json: kind.json ?? false,
      patience: kind.patience,
      nodeOptions: kind.nodeOptions ?? [],
      log: this.#log,
      logTarget: this.#logTarget,
      clock: systemClock,
      dontRespawn: this.#options.dontRespawn,
      // Later on a process of that pid file is one of ours, which is being ended in order.
      predecessor:
        this.#generation > 1
          ? undefined
          : predecessor(pidFile(kind.name, this.#options, this.#model.global), kind.program),
      onStarted: (pid) => this.#writePid(kind.name, pid),
      onReady: () => this.#bulletin.replay(kind.name),
      onNews: (news) => this.#bulletin.publish(news),
      onApplied: (generation, error) => {
        if (error !== undefined)
          this.#log.error(`${kind.title} child process did not take the configuration: ${error}`);
        this.#applied.set(kind.name, generation);
        const all = [...this.#sidecars.keys()].every(
          (name) => (this.#applied.get(name) ?? 0) >= this.#generation,
        );
        if (all) this.#complete();
      },
      onLost: (code) => void this.stop(`the end of ${kind.title}`, code || 1),
    });
  }

  /** A part that does not come up must not keep whoever started us waiting: the others work. */
  #complain(): void {
    if (this.#started) return;
    const missing = kinds.filter(
      ({ name }) => this.#sidecars.has(name) && (this.#applied.get(name) ?? 0) < this.#generation,
    );
    const titles = missing.map(({ title }) => title).join(', ');
    this.#log.error(`Going on without ${titles}, not running after ${this.#patience / 1000} seconds`);
    this.#complete();
  }

  #complete(): void {
    if (this.#started) return;
    this.#started = true;
    clearTimeout(this.#startLimit);
    this.#log.info('Startup complete');
    notifySystemd('READY=1', 'STATUS=Running', `MAINPID=${process.pid}`);
    feedWatchdog();
    this.#onStarted();
  }

  #writePid(of: PidFileOf, pid: number): void {
    try {
      const path = pidFile(of, this.#options, this.#model.global);
      writeSafely(path, `${pid}\n`);
      this.#pidFiles.set(of, path);
    } catch (error) {
      this.#log.error(`no pid file for ${of} (${pid}): ${(error as Error).message}`);
    }
  }

  #removePid(of: PidFileOf): void {
    const path = this.#pidFiles.get(of);
    if (path !== undefined) removeFile(path);
    this.#pidFiles.delete(of);
  }

  /** Runs `startup_script` or `shutdown_script` to its end. */
  async #ownScript(what: 'startup' | 'shutdown', script: Script, timeout: number): Promise<void> {
    const result = await runScript(script, [], { timeout }, this.#model.global, this.#log);
    if (result.timedOut)
      this.#log.error(`${what}_script took longer than ${timeout / 1000} seconds and was ended`);
    else if (result.code !== 0)
      this.#log.error(`${what}_script failed (${result.error ?? result.signal ?? `exit ${result.code}`})`);
  }

  /** Writes the dumps that a signal asks for. */
  async dump(kind: DumpKind): Promise<void> {
    const { global } = this.#model;
    const write = (source: DumpSource, text: string) => {
      if (text === '') return;
      const path = dumpFile(kind, source, global);
      try {
        writeSafely(path, text);
        this.#log.info(
          `Printing ${kind} of ${source} process for process(${process.pid}) on signal to ${path}`,
        );
      } catch (error) {
        this.#log.error(`dump ${path}: ${(error as Error).message}`);
      }
    };
    if (kind === 'data') write('parent', this.describe());
    await Promise.all(
      [...this.#sidecars.values()].map(async (sidecar) => write(sidecar.name, await sidecar.dump(kind))),
    );
  }

  /** The parent's own state, for `keepalived_parent.data`. */
  describe(): string {
    const lines = [
      '------< Global definitions >------',
      ` Keepalived ${UPSTREAM_VERSION} (dpvs-ha ${VERSION})`,
      ` Configuration file = ${this.#options.file}`,
      ` Config id = ${this.#options.configId ?? hostname().split('.')[0]}`,
      ` Kernel = ${release()}`,
      ` Parent pid = ${process.pid}`,
      ` Generation = ${this.#generation}`,
      '------< Child processes >------',
    ];
    for (const [name, sidecar] of this.#sidecars) {
      lines.push(` ${name}: pid ${sidecar.pid ?? 'none'}, generation ${this.#applied.get(name) ?? 0}`);
    }
    return `${lines.join('\n')}\n------< Configuration as understood >------\n${writeModel(this.#model)}`;
  }

  /** Ends everything in order: sidecars (each gets `child_wait_time`), shutdown script, pid files. */
  async stop(why: string, code = 0): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#log.info(`Stopping (${why})`);
    notifySystemd('STOPPING=1', 'STATUS=Stopping');
    clearTimeout(this.#startLimit);
    this.#schedule.close();
    const { global } = this.#model;
    // First the announcements: neighbours then send elsewhere while everything here still forwards.
    await this.#sidecars.get('ospf-bridge')?.stop(global.childWaitTime);
    await Promise.all([
      ...[...this.#sidecars.values()].map((sidecar) => sidecar.stop(global.childWaitTime)),
      ...this.#ending.values(),
    ]);
    if (global.shutdownScript)
      await this.#ownScript('shutdown', global.shutdownScript, global.shutdownScriptTimeout);
    for (const of of [...this.#pidFiles.keys()]) this.#removePid(of);
    this.#log.info(`Stopped Keepalived v${UPSTREAM_VERSION}`);
    this.#exit(code);
  }
}
