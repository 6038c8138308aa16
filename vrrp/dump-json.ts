import { routeLine, ruleLine } from '../keepalived/write/vrrp.js';
import type { Director } from './director.js';
import { addressText } from './dump-data.js';
import type { VirtualRouter } from './virtual-router.js';

/** States as keepalived numbers them. */
const stateNumbers = { init: 0, backup: 1, master: 2, fault: 3 } as const;

/**
 * The state of all instances in JSON: version 1 is an array, version 2 an object with `vrrp` and `track_process`. The fields and
 * their order are keepalived's; what it does not know comes after them.
 */
export async function jsonOf(
  director: Director,
  slices: <Part>(parts: Iterable<Part>) => Promise<Part[]>,
): Promise<string> {
  const parts = await slices(instances(director));
  const list = `[${parts.join(',')}]`;
  if (director.model.globals.jsonVersion === 1) return list;
  const processes = director.model.trackProcesses.map((process) => ({
    name: process.name,
    process: process.argv.join(' '),
    num_running: director.trackers.processCount(process.name),
    quorum: process.quorum,
    quorum_max: process.quorumMax ?? 0,
  }));
  const { lateness } = director;
  const loop = {
    timers: lateness.count,
    mean_ms: round(lateness.mean),
    p50_ms: round(lateness.quantile(0.5)),
    p99_ms: round(lateness.quantile(0.99)),
    max_ms: round(lateness.max),
  };
  return `{"vrrp":${list},"track_process":${JSON.stringify(processes)},"event_loop":${JSON.stringify(loop)}}`;
}

function* instances(director: Director): Generator<string> {
  for (const router of director.routers) {
    yield JSON.stringify({ data: dataOf(director, router), stats: router.statistics });
  }
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function dataOf(director: Director, router: VirtualRouter): Record<string, unknown> {
  const { model, state } = router;
  const master = state.name === 'master';
  const seconds = (milliseconds: number) => milliseconds / 1000;
  const device = director.virtualMacs.device(model);
  return {
    iname: model.name,
    dont_track_primary: Number(model.dontTrackPrimary),
    skip_check_adv_addr: Number(model.skipCheckAdvertAddresses),
    strict_mode: Number(model.strict),
    vmac_ifname: device?.name ?? '',
    ifp_ifname: device?.name ?? model.interface ?? '',
    master_priority: master ? 0 : (router.heard?.priority ?? 0),
    last_transition: seconds(router.lastTransition),
    garp_delay: seconds(model.garp.delay),
    garp_refresh: seconds(model.garp.refresh),
    garp_rep: model.garp.repeat,
    garp_refresh_rep: model.garp.refreshRepeat,
    garp_lower_prio_delay: seconds(model.garp.lowerPriorityDelay),
    garp_lower_prio_rep: model.garp.lowerPriorityRepeat,
    lower_prio_no_advert: Number(model.lowerPriorityNoAdvert),
    higher_prio_send_advert: Number(model.higherPrioritySendAdvert),
    vrid: model.virtualRouterId,
    base_priority: model.priority,
    effective_priority: router.priority,
    vipset: router.placed.length > 0,
    promote_secondaries: model.promoteSecondaries,
    adver_int: seconds(model.advertInterval),
    master_adver_int: seconds(state.masterInterval),
    accept: Number(model.accept),
    nopreempt: !model.preempt,
    preempt_delay: seconds(model.preemptDelay),
    state: stateNumbers[state.name],
    wantstate: state.wantsMaster ? stateNumbers.master : stateNumbers[state.name],
    version: model.version,
    smtp_alert: model.smtpAlert,
    notify_deleted: model.notify.deleted !== undefined,
    ...scripts(router),
    ...list(
      'vips',
      model.virtualAddresses.map((spec) => addressText(director, router, spec)),
    ),
    ...list(
      'evips',
      model.excludedAddresses.map((spec) => addressText(director, router, spec)),
    ),
    ...list('vroutes', model.virtualRoutes.map(routeLine)),
    ...list('vrules', model.virtualRules.map(ruleLine)),
    ...list(
      'track_ifp',
      model.trackInterfaces.map(({ name }) => name),
    ),
    ...list(
      'track_script',
      model.trackScripts.flatMap(({ name }) => {
        const script = director.model.scripts.find((one) => one.name === name);
        return script ? [quoted(script.script.argv)] : [];
      }),
    ),
    auth_type: model.authentication ? (model.authentication.type === 'pass' ? 1 : 2) : 0,
    ...(model.authentication ? { auth_data: model.authentication.password } : {}),
    take_over_ms: round(router.takeOverTime),
    faults: router.faults,
    master_address: master || !router.heard ? '' : router.heard.source,
  };
}

function scripts(router: VirtualRouter): Record<string, string> {
  const { notify } = router.model;
  const named: [string, (typeof notify)['any'] | true | undefined][] = [
    ['script_backup', notify.backup],
    ['script_master', notify.master],
    ['script_fault', notify.fault],
    ['script_stop', notify.stop],
    ['script_deleted', notify.deleted],
    ['script', notify.any],
    ['script_master_rx_lower_pri', notify.masterReceivedLowerPriority],
  ];
  return Object.fromEntries(
    named.flatMap(([name, script]) => (script && script !== true ? [[name, quoted(script.argv)]] : [])),
  );
}

/** A list that is left out when there is nothing in it. */
function list(name: string, entries: readonly string[]): Record<string, readonly string[]> {
  return entries.length > 0 ? { [name]: entries } : {};
}

function quoted(argv: readonly string[]): string {
  return argv.map((word) => `'${word}'`).join(' ');
}
