import type { OspfBridgePart } from '../keepalived/model/index.js';
import { runSidecar, sidecarLog } from '../keepalived/sidecar.js';
import { systemClock } from '../lib/clock.js';
import { setProcessName } from '../lib/libc.js';
import { Bridge } from './bridge.js';

/** The bridge as a process under the front door. */
const log = sidecarLog('ospf-bridge');
let bridge: Bridge | undefined;

setProcessName('keepalived_ospf');
runSidecar<OspfBridgePart>(
  {
    name: 'ospf-bridge',
    onModel(part) {
      if (bridge) bridge.apply(part);
      else bridge = new Bridge(part, log, systemClock);
    },
    onNews(news) {
      bridge?.news(news);
    },
    async onDump(kind) {
      if (!bridge || (kind !== 'data' && kind !== 'json')) return '';
      return `${JSON.stringify(await bridge.status(), undefined, 2)}\n`;
    },
    async onStop(reason) {
      if (reason === 'stop') await bridge?.stop();
      else bridge?.abandon();
    },
  },
  log,
);
