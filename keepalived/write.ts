import type { Model } from './model/index.js';
import { writeGlobalDefs, writeRoot } from './write/global.js';
import { writeLoadBalancing } from './write/load-balancing.js';
import { writeOspfBridge } from './write/ospf-bridge.js';
import { Writer } from './write/text.js';
import { writeBfd, writeVrrp } from './write/vrrp.js';

/**
 * The model as a configuration: every value spelt out, nothing left to defaults. Reading it gives the same model again; it is what
 * `--dump-conf` shows.
 */
export function writeModel(model: Model): string {
  const writer = new Writer();
  writeGlobalDefs(writer, model.global, model.loadBalancing.engine);
  writeRoot(writer, model.global);
  writeBfd(writer, model.bfd.sessions);
  writeVrrp(writer, model.vrrp);
  writeLoadBalancing(writer, model.loadBalancing, model.global.dialect);
  if (model.ospfBridge) writeOspfBridge(writer, model.ospfBridge);
  return writer.text;
}
