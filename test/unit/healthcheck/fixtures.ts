import type { Operation } from '../../../healthcheck/director/difference.js';
import { Director } from '../../../healthcheck/director/director.js';
import type { Command, DirectorDriver, DriverEvents } from '../../../healthcheck/director/driver.js';
import { operationText } from '../../../healthcheck/director/dry-run.js';
import type { ServiceTable } from '../../../healthcheck/director/table.js';
import { Engine } from '../../../healthcheck/engine.js';
import { Reactor } from '../../../healthcheck/sockets.js';
import { defaultGlobal, type Global } from '../../../keepalived/model/global.js';
import type { HealthcheckPart } from '../../../keepalived/model/index.js';
import type {
  CheckEndpoint,
  CheckTiming,
  DnsCheck,
  HttpCheck,
  HttpUrl,
  LoadBalancing,
  MiscCheck,
  PingCheck,
  RealServer,
  SmtpCheck,
  TcpCheck,
  UdpCheck,
  VirtualServer,
} from '../../../keepalived/model/virtual-server.js';
import type { Notify, ScriptResult } from '../../../keepalived/notify/index.js';
import type { Clock } from '../../../lib/clock.js';
import { Log } from '../../../lib/log.js';

/** Checks that run fast, for tests on the real clock; milliseconds. */
export function timing(options: Partial<CheckTiming> = {}): CheckTiming {
  return {
    retry: 1,
    delayBeforeRetry: 30,
    warmup: 0,
    delayLoop: 50,
    alpha: false,
    logAllFailures: false,
    ...options,
  };
}

export function endpoint(port: number, address = '127.0.0.1'): CheckEndpoint {
  return { connectAddress: address, connectPort: port, fwmark: 0, connectTimeout: 300 };
}

export function tcp(port: number, options: Partial<TcpCheck> = {}): TcpCheck {
  return { kind: 'TCP_CHECK', ...timing(), ...endpoint(port), ...options };
}

export function udp(port: number, options: Partial<UdpCheck> = {}): UdpCheck {
  return { kind: 'UDP_CHECK', ...timing(), ...endpoint(port), silence: 'alive', ...options };
}

export function ping(address: string, options: Partial<PingCheck> = {}): PingCheck {
  return { kind: 'PING_CHECK', ...timing(), ...endpoint(0, address), ...options };
}

export function dns(port: number, options: Partial<DnsCheck> = {}): DnsCheck {
  return { kind: 'DNS_CHECK', ...timing(), ...endpoint(port), type: 'SOA', name: '.', ...options };
}

export function smtp(port: number, options: Partial<SmtpCheck> = {}): SmtpCheck {
  return { kind: 'SMTP_CHECK', ...timing(), ...endpoint(port), heloName: 'check.example', ...options };
}

export function url(path: string, options: Partial<HttpUrl> = {}): HttpUrl {
  return { path, statusCodes: [[200, 299]], tlsCompliant: false, ...options };
}

export function http(port: number, options: Partial<HttpCheck> = {}): HttpCheck {
  return {
    kind: 'HTTP_GET',
    ...timing(),
    ...endpoint(port),
    httpProtocol: '1.0',
    enableSni: false,
    fastRecovery: false,
    tlsCompliant: false,
    urls: [url('/')],
    ...options,
  };
}

export function misc(argv: string[], options: Partial<MiscCheck> = {}): MiscCheck {
  return {
    kind: 'MISC_CHECK',
    ...timing({ retry: 0 }),
    script: { argv },
    timeout: 1000,
    dynamic: false,
    ...options,
  };
}

export function realServer(address: string, port: number, options: Partial<RealServer> = {}): RealServer {
  return {
    address,
    port,
    forwarding: { method: 'FNAT' },
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    inhibitOnFailure: false,
    alpha: false,
    smtpAlert: false,
    checkers: [],
    ...options,
  };
}

export function virtualServer(
  address: string,
  port: number,
  realServers: RealServer[],
  options: Partial<VirtualServer> = {},
): VirtualServer {
  return {
    target: { kind: 'address', address, port },
    protocol: 'TCP',
    family: address.includes(':') ? 6 : 4,
    scheduler: 'wrr',
    schedulerFlags: { flag1: false, flag2: false, flag3: false },
    ops: false,
    forwarding: { method: 'FNAT' },
    persistenceTimeout: 0,
    alpha: false,
    omega: false,
    haSuspend: false,
    smtpAlert: false,
    quorum: 1,
    hysteresis: 0,
    realServers,
    inherited: { delayLoop: 60_000, connectTimeout: 5_000, weight: 1, inhibitOnFailure: false },
    synProxy: false,
    expireQuiescent: false,
    quic: false,
    hashTarget: 'sip',
    proxyProtocol: 'none',
    bps: 0,
    limitProportion: 100,
    ...options,
  };
}

export function loadBalancing(
  virtualServers: VirtualServer[],
  options: Partial<LoadBalancing> = {},
): LoadBalancing {
  return {
    engine: { shareProbes: true, director: { driver: 'dry-run' } },
    virtualServers,
    groups: {},
    localAddressGroups: {},
    denyAddressGroups: {},
    allowAddressGroups: {},
    tunnels: [],
    trackFiles: {},
    ...options,
  };
}

export function part(virtualServers: VirtualServer[], options: Partial<LoadBalancing> = {}): HealthcheckPart {
  return { global: defaultGlobal(), loadBalancing: loadBalancing(virtualServers, options) };
}

/** A dataplane in memory that keeps the contract of a driver and can be away, or refuse. */
export class MemoryDriver implements DirectorDriver {
  readonly batches: string[][] = [];
  readonly commands: Command[] = [];
  refuse: (operation: Operation, index: number) => Error | undefined = () => undefined;
  present: ServiceTable = new Map();
  #events: DriverEvents | undefined;
  readonly #away: boolean;

  constructor(options: { away?: boolean } = {}) {
    this.#away = options.away ?? false;
  }

  start(events: DriverEvents): void {
    this.#events = events;
    queueMicrotask(() => (this.#away ? events.down('nobody there') : events.up(true)));
  }

  /** All operations so far, in words. */
  get operations(): string[] {
    return this.batches.flat();
  }

  up(fresh: boolean): void {
    this.#events?.up(fresh);
  }

  down(reason = 'it went away'): void {
    this.#events?.down(reason);
  }

  async read(): Promise<ServiceTable> {
    return this.present;
  }

  async apply(operations: Operation[]): Promise<void> {
    for (const [index, operation] of operations.entries()) {
      const error = this.refuse(operation, index);
      if (error) throw error;
    }
    this.batches.push(operations.map(operationText));
  }

  async command(command: Command): Promise<void> {
    this.commands.push(command);
  }

  stop(): void {}
}

/** Notifications into arrays; scripts succeed at once unless `result` says otherwise. */
export class RecordingNotify implements Notify {
  readonly lines: string[] = [];
  readonly scripts: string[] = [];
  readonly mails: { subject: string; body: string }[] = [];
  result: (argv: string[]) => ScriptResult = () => ({ code: 0, timedOut: false });

  async script(script: { argv: string[] }): Promise<ScriptResult> {
    this.scripts.push(script.argv.join(' '));
    return this.result(script.argv);
  }
  fifo(line: string): void {
    this.lines.push(line);
  }
  mail(subject: string, body: string): void {
    this.mails.push({ subject, body });
  }
  update(_global: Global): void {}
  async close(): Promise<void> {}
}

/** An engine on a dataplane in memory. */
export class Bench {
  readonly log: string[] = [];
  readonly driver: MemoryDriver;
  readonly notify = new RecordingNotify();
  readonly director: Director;
  readonly engine: Engine;
  readonly reactor: Reactor;

  constructor(clock: Clock, options: { driver?: MemoryDriver; random?: () => number } = {}) {
    const log = new Log((_severity, line) => this.log.push(line), 'debug');
    this.driver = options.driver ?? new MemoryDriver();
    this.director = new Director(this.driver, clock, log);
    this.reactor = new Reactor(clock);
    this.engine = new Engine({
      clock,
      log,
      notify: this.notify,
      director: this.director,
      reactor: this.reactor,
      random: options.random ?? (() => 0.5),
    });
    this.director.start();
  }

  async stop(): Promise<void> {
    await this.engine.stop(false);
    this.reactor.close();
  }
}

/** Waits until `condition` holds, generously; rejects with `what` otherwise. */
export async function until(condition: () => boolean, what: string, limit = 10_000): Promise<void> {
  const end = performance.now() + limit;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
