import type { HealthcheckPart } from '../keepalived/model/index.js';
import type { EngineSettings } from '../keepalived/model/virtual-server.js';
import { createNotify } from '../keepalived/notify/index.js';
import { publish, runSidecar, sidecarLog } from '../keepalived/sidecar.js';
import { systemClock } from '../lib/clock.js';
import { releaseGarbage } from '../lib/garbage.js';
import {
  lockMemory,
  setAffinity,
  setNice,
  setProcessName,
  setRealtime,
  setRealtimeLimit,
} from '../lib/libc.js';
import type { Log } from '../lib/log.js';
import { Director } from './director/director.js';
import { DpvsdDriver } from './director/dpvsd.js';
import type { DirectorDriver } from './director/driver.js';
import { DryRun } from './director/dry-run.js';
import { dumpText } from './dump.js';
import { Engine } from './engine.js';
import { openFileLimit } from './limits.js';
import { shareEqualValues } from './shared-values.js';
import { Reactor } from './sockets.js';

/** When what a start or reload has left behind is collected: the first batch has then gone to the dataplane. Milliseconds. */
const SETTLED = 1000;

/** An open file limit that is worth a word. */
const FEW_FILES = 1024;

/** The health checker as a process under the front door. */
function main(): void {
  const log = sidecarLog('healthcheck');
  let engine: Engine | undefined;
  let director: Director | undefined;
  let part: HealthcheckPart | undefined;
  /** One collection for many reloads in a row. */
  let settling: NodeJS.Timeout | undefined;

  runSidecar<HealthcheckPart>(
    {
      name: 'healthcheck',
      async onModel(next, _generation, reload) {
        if (!engine || !director) {
          const notify = createNotify(next.global, 'lvs', log);
          director = new Director(driverOf(next.loadBalancing.engine, log), systemClock, log);
          director.start();
          engine = new Engine({
            clock: systemClock,
            log,
            notify,
            director,
            reactor: new Reactor(systemClock),
            addressMonitoring: next.run?.addressMonitoring ?? false,
            onQuorum: (name, addresses, up) => publish({ topic: 'quorum', name, addresses, up }),
          });
          // Some descriptors belong to scripts, FIFOs, logs and the dataplane.
          const files = openFileLimit();
          engine.runner.limit = Math.max(64, Math.min(16_384, files - 256));
          if (files < FEW_FILES)
            log.warning(
              `this process may open only ${files} files: no more than ${engine.runner.limit} checks are under way at once, others wait; raise the limit (systemd: LimitNOFILE=, shell: ulimit -n)`,
            );
        }
        if (!part) tune(next, log);
        else if (!sameDriver(part, next)) log.warning('lvs_director takes effect at the next start only');
        part = next;
        shareEqualValues(next.loadBalancing);
        await engine.apply(next, reload);
        // Not in this turn: the text of the model is still held by the caller.
        clearTimeout(settling);
        settling = setTimeout(releaseGarbage, SETTLED).unref();
      },
      onNews(news) {
        if (news.topic === 'bfd') engine?.bfdEvent(news.name, news.up);
      },
      onDump(kind) {
        return engine && director && part ? dumpText(kind, engine, director) : '';
      },
      async onStop(reason) {
        await engine?.stop(reason === 'stop' && !part?.run?.dontReleaseIpvs);
      },
    },
    log,
  );
}

/** What global_defs says about this process: name, priority, memory, CPUs. What the system does not permit is said and left. */
function tune({ global }: HealthcheckPart, log: Log): void {
  const { name, priority, noSwap, rtPriority, cpuAffinity, rlimitRttime } = global.checker;
  const attempt = (what: string, work: () => void) => {
    try {
      work();
    } catch (error) {
      log.warning(`cannot ${what}: ${(error as Error).message}`);
    }
  };
  const processName = name ?? (global.processNames ? 'keepalived_lvs' : undefined);
  if (processName !== undefined) attempt('set the process name', () => setProcessName(processName));
  if (noSwap) attempt('lock memory', lockMemory);
  if (priority !== undefined) attempt('set the priority', () => setNice(priority));
  if (cpuAffinity !== undefined) attempt('set the CPU affinity', () => setAffinity(cpuAffinity));
  if (rlimitRttime !== undefined) {
    // The limit is meant for a process without garbage collection: one pause of ours must not end it.
    attempt('limit real-time CPU use', () => setRealtimeLimit(Math.max(rlimitRttime, 1_000_000)));
  }
  if (rtPriority !== undefined) attempt('use real-time scheduling', () => setRealtime(rtPriority));
}

function sameDriver(a: HealthcheckPart, b: HealthcheckPart): boolean {
  const [before, after] = [a, b].map(({ loadBalancing }) => loadBalancing.engine.director);
  return before?.driver === after?.driver && before?.path === after?.path;
}

function driverOf(settings: EngineSettings, log: Log): DirectorDriver {
  const { driver, path } = settings.director;
  return driver === 'dry-run' ? new DryRun(log) : new DpvsdDriver(systemClock, path);
}

main();
