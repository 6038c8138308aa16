import type { RunFlags, VrrpPart } from '../keepalived/model/index.js';
import type { VrrpGlobals } from '../keepalived/model/vrrp.js';
import { publish, runSidecar, sidecarLog } from '../keepalived/sidecar.js';
import {
  LibcError,
  lockMemory,
  setAffinity,
  setNice,
  setProcessName,
  setRealtime,
  setRealtimeLimit,
} from '../lib/libc.js';
import type { Log } from '../lib/log.js';
import { Director } from './director.js';
import { dump } from './dump.js';

/**
 * Without a word in the configuration the process takes the lowest real-time priority, and this nice value where that is not
 * permitted: it works for microseconds at a time, and those must not wait.
 */
const DEFAULT_REALTIME = 1;
const DEFAULT_NICE = -10;
/** Microseconds of CPU without a pause, at least. */
const REALTIME_LIMIT = 5_000_000;
/** How long it goes on without a front door, milliseconds. */
const ALONE = 10_000;

/** The VRRP process under the front door. */
const log = sidecarLog('vrrp');
let director: Director | undefined;
let run: RunFlags | undefined;

runSidecar<VrrpPart>(
  {
    name: 'vrrp',
    alone: ALONE,
    onModel: async (part) => {
      if (!director) {
        director = new Director(log, part.vrrp.globals, part.controlSocket);
        if (part.run?.addressMonitoring) director.reportAddresses();
        director.onState = (name, master) => publish({ topic: 'vrrp', name, master });
        // The threads that wait for packets exist from the loop's first turn on; then all of them get their priority.
        await new Promise((resolve) => director!.poller.after(1, () => resolve(undefined)));
        tune(part.vrrp.globals, log);
      }
      run = part.run;
      director.apply(part);
    },
    onNews: (news) => {
      if (news.topic === 'bfd') director?.bfdChanged(news.name, news.up);
    },
    onDump: async (kind) => (director ? await dump(director, kind) : ''),
    onStop: async (reason) => {
      // -X takes back what -V says.
      const stay = reason === 'stop' && run?.dontReleaseVrrp === true && !run.releaseVips;
      await director?.stop(stay);
    },
  },
  log,
);

/**
 * Precedence over everything that can wait: what is configured must work or is complained about; what we take by ourselves is
 * taken where the system permits it.
 */
function tune(globals: VrrpGlobals, log: Log): void {
  const attempt = (what: string, asked: boolean, work: () => void) => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof LibcError)) throw error;
      const sentence = `cannot ${what}: ${error.message}`;
      if (asked) log.warning(sentence);
      else log.debug(sentence);
    }
  };
  attempt('set the process name', false, () => setProcessName(globals.processName ?? 'keepalived_vrrp'));
  attempt('lock memory', globals.noSwap, lockMemory);
  if (globals.cpuAffinity.length > 0)
    attempt('set the CPU affinity', true, () => setAffinity(globals.cpuAffinity));
  const { processPriority, realtimePriority } = globals;
  if (processPriority !== undefined || realtimePriority === undefined) {
    attempt('raise the priority', processPriority !== undefined, () =>
      setNice(processPriority ?? DEFAULT_NICE),
    );
  }
  if (processPriority !== undefined && realtimePriority === undefined) return;
  const asked = realtimePriority !== undefined;
  // The limit is for a process without garbage collection: one pause of ours must not be punished with SIGXCPU.
  attempt('limit real-time CPU use', asked, () =>
    setRealtimeLimit(Math.max(globals.realtimeLimit, REALTIME_LIMIT)),
  );
  attempt('use real-time scheduling', asked, () => setRealtime(realtimePriority ?? DEFAULT_REALTIME));
}
