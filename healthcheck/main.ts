import type { HealthcheckPart } from '../keepalived/model/index.js';
import type { EngineSettings } from '../keepalived/model/virtual-server.js';
import { createNotify } from '../keepalived/notify/index.js';
import { runSidecar, sidecarLog } from '../keepalived/sidecar.js';
import { systemClock } from '../lib/clock.js';
import type { Log } from '../lib/log.js';
import { Director } from './director/director.js';
import { DpvsdDriver } from './director/dpvsd.js';
import type { DirectorDriver } from './director/driver.js';
import { DryRun } from './director/dry-run.js';
import { dumpText } from './dump.js';
import { Engine } from './engine.js';
import { openFileLimit } from './limits.js';
import { Reactor } from './sockets.js';

/** The health checker as a process under the front door. */
function main(): void {
  const log = sidecarLog('healthcheck');
  let engine: Engine | undefined;
  let director: Director | undefined;
  let part: HealthcheckPart | undefined;

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
          });
          // Some descriptors belong to scripts, FIFOs, logs and the dataplane.
          engine.runner.limit = Math.max(64, Math.min(16_384, openFileLimit() - 256));
        }
        part = next;
        await engine.apply(next, reload);
      },
      onDump(kind) {
        return engine && director && part ? dumpText(kind, engine, director) : '';
      },
      async onStop(reason) {
        await engine?.stop(reason === 'stop');
      },
    },
    log,
  );
}

function driverOf(settings: EngineSettings, log: Log): DirectorDriver {
  const { driver, path } = settings.director;
  return driver === 'dry-run' ? new DryRun(log) : new DpvsdDriver(systemClock, path);
}

main();
