import type { ProcessTuning } from '../keepalived/model/global.js';
import type { BfdPart } from '../keepalived/model/index.js';
import { publish, runSidecar, sidecarLog } from '../keepalived/sidecar.js';
import {
  lockMemory,
  setAffinity,
  setNice,
  setProcessName,
  setRealtime,
  setRealtimeLimit,
} from '../lib/libc.js';
import { Manager } from './manager.js';

/** BFD as a process under the front door: what it finds out goes to VRRP and the health checker. */
const log = sidecarLog('bfd');
let manager: Manager | undefined;

/** Nice value when the configuration names none: ahead of everything that is not told otherwise. */
const DEFAULT_NICE = -10;
/** How long it goes on without a front door, milliseconds. */
const ALONE = 10_000;

runSidecar<BfdPart>(
  {
    name: 'bfd',
    alone: ALONE,
    onModel({ global, bfd, frr }) {
      if (!manager) tune(global.bfd);
      manager ??= new Manager(log, (name, up) => publish({ topic: 'bfd', name, up }), frr);
      manager.apply(bfd);
    },
    onDump: (kind) => (kind === 'data' ? (manager?.describe() ?? '') : ''),
    onStop() {
      manager?.stop();
    },
  },
  log,
);

/** Precedence over everything that can wait. What is configured must work or is complained about. */
function tune({ name, priority, noSwap, rtPriority, cpuAffinity, rlimitRttime }: ProcessTuning): void {
  const attempt = (what: string, asked: boolean, work: () => void) => {
    try {
      work();
    } catch (error) {
      const sentence = `cannot ${what}: ${(error as Error).message}`;
      if (asked) log.warning(sentence);
      else log.debug(sentence);
    }
  };
  attempt('set the process name', false, () => setProcessName(name ?? 'keepalived_bfd'));
  if (noSwap) attempt('lock memory', true, lockMemory);
  attempt('raise the priority', priority !== undefined, () => setNice(priority ?? DEFAULT_NICE));
  if (cpuAffinity !== undefined) attempt('set the CPU affinity', true, () => setAffinity(cpuAffinity));
  if (rlimitRttime !== undefined) {
    // The limit is for a process without garbage collection: one pause of ours must not be punished with SIGXCPU.
    attempt('limit real-time CPU use', true, () => setRealtimeLimit(Math.max(rlimitRttime, 1_000_000)));
  }
  if (rtPriority !== undefined) attempt('use real-time scheduling', true, () => setRealtime(rtPriority));
}
