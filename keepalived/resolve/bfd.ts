import type { Draft } from '../draft.js';
import { familyOf } from '../grammar/address.js';
import type { Diagnostics } from '../grammar/diagnostics.js';
import type { BfdModel } from '../model/bfd.js';

/** BFD sessions with their defaults. Sessions without a neighbour are left out. */
export function resolveBfd(draft: Draft, diagnostics: Diagnostics): BfdModel {
  const sessions: BfdModel['sessions'] = [];
  for (const one of draft.bfdInstances) {
    const { name, neighbourIp, place } = one;
    const say = (text: string) =>
      diagnostics.report('error', `bfd_instance ${name}: ${text}`, 'bfd_instance', place);
    if (neighbourIp === undefined) {
      say('it has no neighbor_ip, it is left out');
      continue;
    }
    if (sessions.some((other) => other.neighbourIp === neighbourIp)) {
      say(`there is another one with the neighbour ${neighbourIp}, it is left out`);
      continue;
    }
    let { sourceIp } = one;
    if (sourceIp !== undefined && familyOf(sourceIp) !== familyOf(neighbourIp)) {
      say(`source_ip ${sourceIp} is of another address family than ${neighbourIp}, ignored`);
      sourceIp = undefined;
    }
    const both = !one.vrrp && !one.checker;
    sessions.push({
      name,
      neighbourIp,
      ...(sourceIp === undefined ? {} : { sourceIp }),
      minRx: one.minRx ?? 10,
      minTx: one.minTx ?? 10,
      idleTx: one.idleTx ?? 1000,
      multiplier: one.multiplier ?? 5,
      passive: one.passive ?? false,
      ttl: one.ttl ?? (familyOf(neighbourIp) === 4 ? 255 : 64),
      maxHops: one.maxHops ?? 0,
      multihop: one.multihop ?? false,
      vrrp: one.vrrp ?? both,
      checker: one.checker ?? both,
      weight: one.weight ?? 0,
      reverse: one.reverse ?? false,
    });
  }
  return { sessions };
}
