import type { Draft, InstanceDraft, Place, SyncGroupDraft, Tracks } from '../draft.js';
import { familyOf } from '../grammar/address.js';
import { type Diagnostics, didYouMean, type FindingKind } from '../grammar/diagnostics.js';
import type { Global } from '../model/global.js';
import {
  type Authentication,
  type AuthHmac,
  type Family,
  type GarpSettings,
  globalDefaults,
  type TrackReference,
  type VirtualAddress,
  type VrrpGlobals,
  type VrrpInstance,
  type VrrpModel,
  type VrrpSyncGroup,
} from '../model/vrrp.js';
import { instanceName } from '../names.js';

/** Most addresses of an advertisement: the count has one byte (RFC 9568 5.2.5). */
const MOST_ADDRESSES = 255;

/** What a model depends on besides the text. */
export interface Surroundings {
  hostname: string;
  interfaceExists(name: string): boolean;
}

/** Makes the VRRP model from what was written: defaults, what versions can carry, what refers to what. */
export class VrrpResolver {
  readonly #draft: Draft;
  readonly #global: Global;
  readonly #diagnostics: Diagnostics;
  readonly #surroundings: Surroundings;
  /** Interfaces that the configuration names and that are not there (with `dynamic_interfaces` nobody looks). */
  missingInterfaces = 0;

  constructor(draft: Draft, diagnostics: Diagnostics, surroundings: Surroundings) {
    this.#draft = draft;
    this.#global = draft.global;
    this.#diagnostics = diagnostics;
    this.#surroundings = surroundings;
  }

  resolve(): VrrpModel {
    const draft = this.#draft;
    const scripts: VrrpModel['scripts'] = [];
    for (const one of draft.scripts) {
      if (!one.script) {
        this.#say('error', `No script set for vrrp_script ${one.name} - removing`, one.place, 'vrrp_script');
        continue;
      }
      const interval = one.interval ?? 1000;
      scripts.push({
        name: one.name,
        script: { ...one.script, ...one.owner },
        interval,
        timeout: one.timeout ?? interval,
        weight: one.weight ?? 0,
        reverse: one.reverse ?? false,
        rise: one.rise ?? 1,
        fall: one.fall ?? 1,
        initFail: one.initFail ?? false,
      });
    }
    const trackFiles: VrrpModel['trackFiles'] = [];
    for (const one of draft.trackFiles) {
      if (one.path === undefined) {
        this.#say('error', `No file set for track_file ${one.name} - ignoring`, one.place, 'track_file');
        continue;
      }
      trackFiles.push({
        name: one.name,
        path: one.path,
        weight: one.weight ?? 1,
        reverse: one.reverse ?? false,
        ...(one.init ? { init: one.init } : {}),
      });
    }
    const trackProcesses: VrrpModel['trackProcesses'] = [];
    for (const one of draft.trackProcesses) {
      if (!one.argv || one.argv.length === 0) {
        this.#say(
          'error',
          `No process set for vrrp_track_process ${one.name} - removing`,
          one.place,
          'vrrp_track_process',
        );
        continue;
      }
      trackProcesses.push({
        name: one.name,
        argv: one.argv,
        ...(one.parameterMatch ? { parameterMatch: one.parameterMatch } : {}),
        fullCommand: one.fullCommand ?? false,
        weight: one.weight ?? 0,
        reverse: one.reverse ?? false,
        quorum: one.quorum ?? 1,
        ...(one.quorumMax === undefined ? {} : { quorumMax: one.quorumMax }),
        forkDelay: one.forkDelay ?? 0,
        terminateDelay: one.terminateDelay ?? 0,
      });
      if (one.quorumMax !== undefined && one.quorumMax < (one.quorum ?? 1)) {
        this.#say(
          'error',
          `vrrp_track_process ${one.name}: quorum_max is less than quorum`,
          one.place,
          'vrrp_track_process',
        );
      }
    }
    const known = {
      trackScripts: new Set(scripts.map((one) => one.name)),
      trackFiles: new Set(trackFiles.map((one) => one.name)),
      trackProcesses: new Set(trackProcesses.map((one) => one.name)),
      trackBfd: new Set(draft.bfdInstances.filter((one) => one.vrrp || !one.checker).map((one) => one.name)),
    };

    const instances: VrrpInstance[] = [];
    const groups = this.#groups(known);
    for (const one of draft.instances) {
      const made = this.#instance(
        one,
        known,
        groups.find((group) => group.members.includes(one.name)),
      );
      if (made) instances.push(made);
    }
    this.#sameRouter(instances);
    const names = new Set(instances.map((one) => one.name));
    const trackGroups: VrrpModel['trackGroups'] = [];
    for (const group of draft.trackGroups) {
      const present = group.instances.filter((name) => names.has(name));
      for (const name of group.instances) {
        if (!names.has(name))
          this.#say(
            'note',
            `track_group ${group.name}: there is no vrrp_instance ${name}`,
            group.place,
            'track_group',
          );
      }
      if (present.length === 0) {
        const kind = group.instances.length === 0 ? 'error' : 'note';
        this.#say(
          kind,
          `track_group ${group.name} has no instances, it is left out`,
          group.place,
          'track_group',
        );
        continue;
      }
      trackGroups.push({ name: group.name, instances: present });
    }
    this.#statics(new Set(trackGroups.map((group) => group.name)));
    return {
      globals: this.#globals(),
      instances,
      syncGroups: groups
        .map((group) => ({ ...group, members: group.members.filter((name) => names.has(name)) }))
        .filter((group) => group.members.length > 0),
      scripts,
      trackFiles,
      trackProcesses,
      bfdSessions: draft.bfdInstances
        .filter((one) => known.trackBfd.has(one.name) && one.neighbourIp !== undefined)
        .map((one) => ({ name: one.name, weight: one.weight ?? 0, reverse: one.reverse ?? false })),
      trackGroups,
      garpGroups: this.#garpGroups(),
      staticAddresses: draft.staticAddresses,
      staticRoutes: draft.staticRoutes,
      staticRules: draft.staticRules,
      interfaceDelays: this.#global.interfaceUpDownDelays,
    };
  }

  #say(kind: FindingKind, text: string, place: Place, keyword: string): void {
    this.#diagnostics.report(kind, text, keyword, place);
  }

  #globals(): VrrpGlobals {
    const g = this.#global;
    const made: VrrpGlobals = {
      ...globalDefaults(this.#surroundings.hostname),
      multicastGroup4: g.vrrpMcastGroup4,
      multicastGroup6: g.vrrpMcastGroup6,
      garpInterval: g.vrrpGarpInterval,
      gnaInterval: g.vrrpGnaInterval,
      startupDelay: g.vrrpStartupDelay ?? 0,
      delayAfterBoot: g.vrrpDelayAfterBoot ?? 0,
      dynamicInterfaces: g.dynamicInterfaces !== undefined,
      allowInterfaceChanges: g.dynamicInterfaces === 'allow_if_changes',
      logUnknownVrids: g.logUnknownVrids ?? false,
      notifyPriorityChanges: g.vrrpNotifyPriorityChanges ?? false,
      fifoWriteStatesOnReload: g.fifoWriteVrrpStatesOnReload ?? false,
      noEmailFaults: g.noEmailFaults ?? false,
      vmacPrefix: g.vmacPrefix ?? 'vrrp',
      vmacAddressPrefix: g.vmacAddrPrefix ?? g.vmacPrefix ?? 'vrrp',
      disableLocalIgmp: g.disableLocalIgmp ?? false,
      realtimeLimit: g.vrrp.rlimitRttime ?? 10000,
      cpuAffinity: g.vrrp.cpuAffinity ?? [],
      noSwap: g.vrrp.noSwap ?? false,
      receiveBufferMultiplier: g.vrrpRxBufsMultiplier,
      jsonVersion: g.jsonVersion,
      dumpSuffix: g.dataUseInstance ? instanceName(g, '_', '.') : '',
    };
    if (g.routerId !== undefined) made.routerId = g.routerId;
    if (g.nftables !== undefined) {
      made.firewall = {
        ...made.firewall,
        kind: 'nftables',
        table: g.nftables,
        priority: g.nftablesPriority ?? -1,
        counters: g.nftablesCounters ?? false,
      };
    } else if (g.vrrpIptables) {
      made.firewall = { ...made.firewall, kind: 'iptables' };
      const [input, output] = g.vrrpIptables;
      if (input !== undefined) {
        made.firewall.inputChain = input;
        // One chain given: only what comes in is looked at.
        made.firewall.outputChain = output ?? '';
      }
    }
    if (g.vrrp.priority !== undefined) made.processPriority = g.vrrp.priority;
    if (g.vrrp.rtPriority !== undefined) made.realtimePriority = g.vrrp.rtPriority;
    const name = g.vrrp.name ?? (g.processNames ? 'keepalived_vrrp' : undefined);
    if (name !== undefined) made.processName = name;
    if (g.vrrpRxBufsPolicy !== undefined) made.receiveBufferPolicy = g.vrrpRxBufsPolicy;
    if (g.vrrpNetlink.cmd !== undefined) made.netlinkCommandBuffer = g.vrrpNetlink.cmd;
    if (g.vrrpNetlink.monitor !== undefined) made.netlinkMonitorBuffer = g.vrrpNetlink.monitor;
    if (g.processMonitorRcvBufs !== undefined) made.processMonitorBuffer = g.processMonitorRcvBufs;
    if (g.stateDumpFile !== undefined) made.stateDumpFile = g.stateDumpFile;
    if (g.statsDumpFile !== undefined) made.statsDumpFile = g.statsDumpFile;
    if (g.jsonDumpFile !== undefined) made.jsonDumpFile = g.jsonDumpFile;
    return made;
  }

  #interface(name: string, what: string, place: Place, keyword: string): void {
    if (this.#global.dynamicInterfaces !== undefined || this.#surroundings.interfaceExists(name)) return;
    this.missingInterfaces++;
    this.#say('warning', `WARNING - interface ${name} for ${what} doesn't exist`, place, keyword);
  }

  /** References to things that do not exist are reported and dropped. */
  #tracks(
    from: Tracks,
    known: Record<Exclude<keyof Tracks, 'trackInterfaces'>, Set<string>>,
    what: string,
    place: Place,
  ): Tracks {
    const made: Tracks = { ...from };
    const kinds = [
      ['trackScripts', 'track script'],
      ['trackFiles', 'track file'],
      ['trackProcesses', 'track process'],
      ['trackBfd', 'tracked BFD instance'],
    ] as const;
    for (const [key, kind] of kinds) {
      made[key] = from[key].filter((reference) => {
        if (known[key].has(reference.name)) return true;
        const near = didYouMean(reference.name, known[key]);
        this.#say(
          'error',
          `(${what}) ${kind} ${reference.name} not found, ignoring${near ? `; did you mean '${near}'?` : ''}`,
          place,
          key,
        );
        return false;
      });
    }
    for (const reference of from.trackInterfaces)
      this.#interface(reference.name, `track_interface of ${what}`, place, 'track_interface');
    return made;
  }

  #groups(known: Record<Exclude<keyof Tracks, 'trackInterfaces'>, Set<string>>): VrrpSyncGroup[] {
    const made: VrrpSyncGroup[] = [];
    const instances = new Set(this.#draft.instances.map((one) => one.name));
    const taken = new Map<string, string>();
    for (const group of this.#draft.syncGroups) {
      const { name, place } = group;
      const say = (text: string) => this.#say('error', text, place, 'vrrp_sync_group');
      const members = group.members.filter((member) => {
        const near = didYouMean(member, instances);
        if (!instances.has(member)) {
          say(
            `Virtual router ${member} specified in sync group ${name} doesn't exist - ignoring${near ? `; did you mean '${near}'?` : ''}`,
          );
        } else if (taken.has(member)) {
          say(
            `Virtual router ${member} is in sync groups ${taken.get(member)} and ${name} - it stays in the first`,
          );
        } else {
          taken.set(member, name);
          return true;
        }
        return false;
      });
      if (members.length === 0) {
        say(`Sync group ${name} has no virtual router(s). removing`);
        continue;
      }
      if (members.length === 1)
        say(`Sync group ${name} has only 1 virtual router(s) - this probably isn't what you want`);
      made.push({ name, members, ...this.#groupSettings(group, known) });
    }
    return made;
  }

  #groupSettings(
    group: SyncGroupDraft,
    known: Record<Exclude<keyof Tracks, 'trackInterfaces'>, Set<string>>,
  ): Omit<VrrpSyncGroup, 'name' | 'members'> {
    const g = this.#global;
    const trackingWeight = group.trackingWeight ?? false;
    const tracks = this.#tracks(group, known, group.name, group.place);
    return {
      trackInterfaces: this.#unweighted(tracks.trackInterfaces, trackingWeight, group.name, group.place),
      trackScripts: this.#unweighted(tracks.trackScripts, trackingWeight, group.name, group.place),
      trackFiles: this.#unweighted(tracks.trackFiles, trackingWeight, group.name, group.place),
      trackProcesses: this.#unweighted(tracks.trackProcesses, trackingWeight, group.name, group.place),
      trackBfd: this.#unweighted(tracks.trackBfd, trackingWeight, group.name, group.place),
      trackingWeight,
      notify: group.notify,
      smtpAlert: group.smtpAlert ?? g.smtpAlertVrrp ?? g.smtpAlert ?? false,
      notifyPriorityChanges: group.notifyPriorityChanges ?? g.vrrpNotifyPriorityChanges ?? false,
    };
  }

  /** In a sync group a weight would move one member and not the others: it counts as 0 unless the group asks for weights. */
  #unweighted(references: TrackReference[], allowed: boolean, name: string, place: Place): TrackReference[] {
    if (allowed) return references;
    return references.map((reference) => {
      if (!reference.weight) return reference;
      this.#say(
        'error',
        `(${name}) the weight of ${reference.name} is ignored in a sync group without sync_group_tracking_weight`,
        place,
        'track',
      );
      return { ...reference, weight: 0 };
    });
  }

  /**
   * Of a member of a sync group: what has a weight is not tracked at all, as in keepalived; only a file's own weight, which it
   * always has, counts as 0.
   */
  #withoutWeighted(
    references: TrackReference[],
    kind: 'trackScripts' | 'trackFiles' | 'trackBfd',
    name: string,
    place: Place,
  ): TrackReference[] {
    const { scripts, trackFiles, bfdInstances } = this.#draft;
    const defined = {
      trackScripts: () => scripts,
      trackFiles: () => trackFiles.map((file) => ({ ...file, weight: file.weight ?? 1 })),
      trackBfd: () => bfdInstances,
    }[kind]();
    return references.flatMap((reference) => {
      const own = defined.find((one) => one.name === reference.name)?.weight ?? 0;
      if ((reference.weight ?? own) === 0) return [reference];
      const stays = kind === 'trackFiles' && reference.weight === undefined;
      const how = stays ? 'the weight of' : 'tracking';
      this.#say(
        'error',
        `(${name}) ${how} ${reference.name} is ignored: it has a weight, and the sync group has no sync_group_tracking_weight`,
        place,
        'track',
      );
      return stays ? [{ ...reference, weight: 0 }] : [];
    });
  }

  #family(draft: InstanceDraft): Family {
    const sample =
      draft.sourceAddress ?? draft.virtualAddresses[0]?.address ?? draft.unicastPeers?.[0]?.address;
    if (draft.nativeIpv6) return 'ipv6';
    return sample !== undefined && familyOf(sample) === 6 ? 'ipv6' : 'ipv4';
  }

  #instance(
    draft: InstanceDraft,
    known: Record<Exclude<keyof Tracks, 'trackInterfaces'>, Set<string>>,
    group: VrrpSyncGroup | undefined,
  ): VrrpInstance | undefined {
    const g = this.#global;
    const { name, place } = draft;
    const say = (kind: FindingKind, text: string) =>
      this.#say(kind, `(${name}) ${text}`, place, 'vrrp_instance');
    if (draft.virtualRouterId === undefined) {
      say('error', 'the virtual router id must be set; the instance is left out');
      return undefined;
    }
    const family = this.#family(draft);
    const ofFamily = (address: string) => (familyOf(address) === 6) === (family === 'ipv6');
    const unicast = draft.unicast || draft.unicastPeers !== undefined;
    if (draft.interface === 'lo') {
      say('error', 'cannot use a loopback interface (lo) for vrrp - ignoring');
      delete draft.interface;
    }
    if (draft.interface === undefined && !(unicast && draft.sourceAddress !== undefined)) {
      say('error', 'Unknown interface! The instance is left out');
      return undefined;
    }
    if (draft.interface !== undefined)
      this.#interface(draft.interface, `vrrp_instance ${name}`, place, 'interface');

    const strict = draft.strict ?? g.vrrpStrict ?? false;
    let version = draft.version ?? (family === 'ipv6' ? 3 : g.vrrpVersion);
    if (family === 'ipv6' && version === 2 && strict) {
      say('error', 'in strict mode IPv6 needs version 3, which is used');
      version = 3;
    }

    let initialState = draft.initialState ?? 'backup';
    let priority = draft.priority ?? (initialState === 'master' ? 255 : 100);
    if (strict && (initialState === 'master') !== (priority === 255)) {
      if (initialState === 'master') {
        say('error', 'State MASTER must match being address owner');
        initialState = 'backup';
      } else {
        say('error', 'priority 255 is that of the address owner, whose state must be MASTER');
        initialState = 'master';
      }
    }
    priority = Math.min(255, priority);
    const owner = priority === 255;

    let preempt = draft.preempt ?? true;
    if (!preempt && owner) {
      say('error', 'nopreempt is incompatible with priority 255. resetting nopreempt');
      preempt = true;
    } else if (!preempt && initialState === 'master') {
      say('note', 'nopreempt needs state BACKUP on all nodes: with MASTER it has no effect');
      preempt = true;
    }
    let preemptDelay = draft.preemptDelay ?? 0;
    if (preemptDelay > 0) {
      const why = strict
        ? 'is incompatible with strict mode'
        : !preempt
          ? 'is incompatible with nopreempt mode'
          : initialState === 'master'
            ? 'will not work with initial state MASTER'
            : undefined;
      if (why) {
        say('error', `preempt_delay ${why} - resetting`);
        preemptDelay = 0;
      }
    }

    const made: VrrpInstance = {
      name,
      family,
      initialState,
      virtualRouterId: draft.virtualRouterId,
      priority,
      advertInterval: this.#advertInterval(draft.advertInterval ?? 1000, version, say),
      version,
      virtualMacForAddresses: draft.virtualMacForAddresses ?? false,
      unicastFaultNoPeer: draft.unicastFaultNoPeer ?? false,
      checkUnicastSource: draft.checkUnicastSource ?? g.vrrpCheckUnicastSrc ?? false,
      oldUnicastChecksum: draft.oldUnicastChecksum ?? 'detect',
      trackSourceAddress: draft.trackSourceAddress ?? false,
      multicastGroup: family === 'ipv6' ? g.vrrpMcastGroup6 : g.vrrpMcastGroup4,
      dontTrackPrimary: draft.dontTrackPrimary ?? false,
      ...this.#instanceTracks(draft, known, { owner, strict, group }),
      virtualAddresses: [],
      excludedAddresses: [],
      virtualRoutes: draft.virtualRoutes,
      virtualRules: draft.virtualRules,
      promoteSecondaries: draft.promoteSecondaries ?? false,
      v3ChecksumAsV2: draft.v3ChecksumAsV2 ?? g.v3ChecksumAsV2 ?? false,
      accept: draft.accept ?? !strict,
      skipCheckAdvertAddresses: draft.skipCheckAdvertAddresses ?? g.vrrpSkipCheckAdvAddr ?? false,
      strict,
      preempt,
      preemptDelay,
      downTimerAdverts: strict ? 3 : (draft.downTimerAdverts ?? g.vrrpDownTimerAdverts),
      garp: this.#garp(draft.garp, strict),
      lowerPriorityNoAdvert: strict || (draft.lowerPriorityNoAdvert ?? g.vrrpLowerPrioNoAdvert ?? false),
      higherPrioritySendAdvert:
        !strict && (draft.higherPrioritySendAdvert ?? g.vrrpHigherPrioSendAdvert ?? false),
      ownerIgnoreAdverts:
        owner && (strict || (draft.ownerIgnoreAdverts ?? g.vrrpOwnerIgnoreAdverts ?? false)),
      notify: draft.notify,
      smtpAlert: draft.smtpAlert ?? g.smtpAlertVrrp ?? g.smtpAlert ?? false,
      notifyPriorityChanges: draft.notifyPriorityChanges ?? g.vrrpNotifyPriorityChanges ?? false,
      debug: draft.debug ?? 0,
    };
    if (draft.interface !== undefined) made.interface = draft.interface;
    if (draft.dpdkInterface !== undefined) made.dpdkInterface = draft.dpdkInterface;
    if (draft.vrf !== undefined) {
      if (draft.interface !== undefined)
        say('error', 'Cannot specify VRF interface and interface - ignoring');
      else made.vrf = draft.vrf;
    }
    if (draft.kernelReceiveBuffer !== undefined) made.kernelReceiveBuffer = draft.kernelReceiveBuffer;
    if (draft.timerExpiredBackupPriority !== undefined) {
      if (preempt) say('error', 'timer_expired_backup needs nopreempt, ignored');
      else made.timerExpiredBackupPriority = draft.timerExpiredBackupPriority;
    }
    if (draft.multicastGroup !== undefined) {
      if (ofFamily(draft.multicastGroup)) made.multicastGroup = draft.multicastGroup;
      else say('error', `mcast_dst_ip ${draft.multicastGroup} is of the other address family, ignored`);
    }
    if (draft.sourceAddress !== undefined) {
      if (ofFamily(draft.sourceAddress)) made.sourceAddress = draft.sourceAddress;
      else say('error', `the source address ${draft.sourceAddress} is of the other address family, ignored`);
    }
    if (unicast) {
      made.unicastPeers = (draft.unicastPeers ?? []).filter((peer) => {
        if (!ofFamily(peer.address))
          say('error', `unicast peer address[${peer.address}] MUST be of the same family. Skipping`);
        return ofFamily(peer.address);
      });
      if (made.unicastPeers.length === 0 && !draft.unicastFaultNoPeer && made.interface !== undefined) {
        // As keepalived: a source address alone does not stop multicast.
        delete made.unicastPeers;
      }
    }
    const peers = made.unicastPeers !== undefined && made.unicastPeers.length > 0;
    if (draft.unicastTtl !== undefined) {
      if (peers) made.unicastTtl = draft.unicastTtl;
      else say('error', 'Cannot use unicast_ttl without unicast peers - resetting');
    }
    const unicastWords =
      unicast ||
      draft.checkUnicastSource ||
      draft.oldUnicastChecksum !== undefined ||
      draft.unicastFaultNoPeer;
    if (unicastWords && !peers && !draft.unicastFaultNoPeer) {
      say(
        'error',
        'A unicast keyword has been specified without any unicast peers. Defaulting to multicast. This usage is deprecated - please update your configuration.',
      );
    }
    if (draft.virtualMac) {
      made.virtualMac = {
        ...draft.virtualMac,
        transmitBase: (draft.transmitBase ?? false) || made.unicastPeers !== undefined,
      };
      if (strict && made.virtualMac.mac !== undefined) {
        say('error', 'in strict mode the virtual MAC address is fixed, the given one is ignored');
        delete made.virtualMac.mac;
      }
      if (
        made.virtualMac.kind === 'ipvlan' &&
        family === 'ipv4' &&
        made.virtualMac.address === undefined &&
        made.sourceAddress === undefined
      ) {
        say('error', 'IPv4 ipvlan requires a source ip address to be configured');
      }
    } else if (draft.transmitBase) {
      say('error', 'vmac_xmit_base is only valid with a vmac');
    }
    this.#addresses(draft, made, ofFamily, say);
    const authentication = this.#authentication(draft, made, say);
    if (authentication) made.authentication = authentication;
    const authHmac = this.#authHmac(draft, made, say);
    if (authHmac) made.authHmac = authHmac;
    return made;
  }

  #advertInterval(interval: number, version: 2 | 3, say: (kind: FindingKind, text: string) => void): number {
    const shown = `${(interval / 1000).toFixed(6)}s`;
    if (version === 2) {
      if (interval % 1000 === 0) return interval;
      say('error', `VRRPv2 advertisement interval ${shown} must be an integer. rounding`);
      return Math.max(1000, Math.round(interval / 1000) * 1000);
    }
    if (interval > 40_950) {
      say(
        'error',
        `VRRPv3 advertisement interval ${shown} is out of range. Must be less than 40.96s. Setting to 40.95s`,
      );
      return 40_950;
    }
    if (interval % 10 === 0) return interval;
    say('error', `VRRPv3 advertisement interval ${shown} must be in units of 10ms - rounding`);
    return Math.max(10, Math.round(interval / 10) * 10);
  }

  #instanceTracks(
    draft: InstanceDraft,
    known: Record<Exclude<keyof Tracks, 'trackInterfaces'>, Set<string>>,
    of: { owner: boolean; strict: boolean; group: VrrpSyncGroup | undefined },
  ): Tracks {
    const { name, place } = draft;
    const tracks = this.#tracks(draft, known, name, place);
    tracks.trackInterfaces = tracks.trackInterfaces.filter((reference) => {
      if (reference.name !== draft.interface || draft.dontTrackPrimary) return true;
      this.#say(
        'error',
        `(${name}) Ignoring track_interface ${reference.name} since own interface`,
        place,
        'track_interface',
      );
      return false;
    });
    if (of.owner) {
      // The priority of an owner never changes.
      const weighted = (reference: TrackReference) => !reference.weight;
      for (const key of Object.keys(tracks) as (keyof Tracks)[]) {
        if (key !== 'trackInterfaces' && key !== 'trackScripts') continue;
        const kept = (tracks[key] ?? []).filter(weighted);
        if (kept.length < (tracks[key] ?? []).length) {
          this.#say(
            'note',
            `(${name}) weights do not change the priority of an address owner`,
            place,
            'track',
          );
        }
      }
    }
    if (of.group && !of.group.trackingWeight) {
      for (const key of ['trackInterfaces', 'trackProcesses'] as const) {
        tracks[key] = this.#unweighted(tracks[key], false, name, place);
      }
      for (const key of ['trackScripts', 'trackFiles', 'trackBfd'] as const) {
        tracks[key] = this.#withoutWeighted(tracks[key], key, name, place);
      }
    }
    return {
      trackInterfaces: tracks.trackInterfaces,
      trackScripts: tracks.trackScripts,
      trackFiles: tracks.trackFiles,
      trackProcesses: tracks.trackProcesses,
      trackBfd: tracks.trackBfd,
    };
  }

  #garp(own: Partial<GarpSettings>, strict: boolean): GarpSettings {
    const g = this.#global;
    // vrrp_min_garp: one announcement and no more, unless a keyword asks for something else.
    const least = g.vrrpMinGarp ?? false;
    const standard = (value: number, of: number, minimum: number) =>
      least && value === of ? minimum : value;
    const repeat = own.repeat ?? standard(g.vrrpGarpMasterRepeat, 5, 1);
    const delay = own.delay ?? standard(g.vrrpGarpMasterDelay, 5000, 0);
    return {
      repeat,
      delay,
      refresh: own.refresh ?? g.vrrpGarpMasterRefresh,
      refreshRepeat: own.refreshRepeat ?? g.vrrpGarpMasterRefreshRepeat,
      lowerPriorityRepeat: strict ? 0 : (own.lowerPriorityRepeat ?? g.vrrpGarpLowerPrioRepeat ?? repeat),
      lowerPriorityDelay: strict ? 0 : (own.lowerPriorityDelay ?? g.vrrpGarpLowerPrioDelay ?? delay),
      extraInterfaceInterval: own.extraInterfaceInterval ?? g.vrrpGarpExtraIf?.interval ?? 0,
      extraInterfaceAll: own.extraInterfaceAll ?? g.vrrpGarpExtraIf?.all ?? false,
    };
  }

  #addresses(
    draft: InstanceDraft,
    made: VrrpInstance,
    ofFamily: (address: string) => boolean,
    say: (kind: FindingKind, text: string) => void,
  ): void {
    const seen = new Set<string>();
    for (const address of draft.virtualAddresses) {
      if (!ofFamily(address.address)) {
        say('error', `address family must match VRRP instance [${address.address}] - ignoring`);
        continue;
      }
      const key = `${address.address} ${address.interface ?? ''}`;
      if (seen.has(key)) {
        say('note', `${address.address} is there twice, the second one is left out`);
        continue;
      }
      seen.add(key);
      made.virtualAddresses.push(address);
    }
    const surplus = made.virtualAddresses.splice(MOST_ADDRESSES);
    if (surplus.length > 0) {
      say('error', `more than ${MOST_ADDRESSES} addresses: the last ${surplus.length} are not advertised`);
    }
    made.excludedAddresses = [...surplus, ...draft.excludedAddresses];
    for (const address of [...made.virtualAddresses, ...made.excludedAddresses]) {
      if (address.trackGroup !== undefined) {
        say('error', `${address.address}: track_group is only for static addresses, ignored`);
        delete address.trackGroup;
      }
      // The name may be a port of the dataplane, which the kernel does not know.
      if (address.interface !== undefined && draft.dpdkInterface === undefined) {
        this.#interface(address.interface, `ip address ${address.address}`, draft.place, 'virtual_ipaddress');
      }
    }
    for (const route of draft.virtualRoutes) {
      const device = route.interface;
      if (device !== undefined && draft.dpdkInterface === undefined) {
        this.#interface(device, 'VROUTE nexthop', draft.place, 'virtual_routes');
      }
      if (
        device === undefined &&
        !route.noTrack &&
        route.nextHops.length === 0 &&
        draft.dpdkInterface === undefined
      ) {
        say(
          'error',
          `Warning - cannot track route ${shown(route)} with no interface specified, not tracking`,
        );
      }
    }
    for (const rule of draft.virtualRules) {
      if (rule.priority === undefined) {
        say('error', 'Rule has no preference specified - setting one below the others');
      }
    }
    if (made.virtualAddresses.length === 0 && !draft.noVirtualAddress) {
      say('error', `No VIP specified; at least one is ${made.version === 3 ? 'required' : 'sensible'}`);
    }
    const first = made.virtualAddresses[0];
    if (made.strict && made.family === 'ipv6' && first && !/^fe[89ab]/i.test(first.address)) {
      say('error', 'in strict mode the first IPv6 address must be link-local');
    }
  }

  #authentication(
    draft: InstanceDraft,
    made: VrrpInstance,
    say: (kind: FindingKind, text: string) => void,
  ): Authentication | undefined {
    const given = draft.authentication;
    if (!given?.type) return undefined;
    if (made.version === 3) {
      say('error', 'VRRP version 3 does not support authentication. Ignoring.');
      return undefined;
    }
    if (made.strict) {
      say('error', 'Strict mode does not support authentication. Ignoring.');
      return undefined;
    }
    if (!given.password) {
      say('error', 'Authentication specified but no password given. Ignoring');
      return undefined;
    }
    if (given.type === 'ah') {
      if (made.family === 'ipv6') {
        say('error', 'AH is only for IPv4. Ignoring.');
        return undefined;
      }
      if (made.initialState === 'master' && made.priority !== 255) {
        say('error', 'Initial state master is incompatible with AH authentication - clearing');
        made.initialState = 'backup';
      }
    }
    return { type: given.type, password: given.password };
  }

  #authHmac(
    draft: InstanceDraft,
    made: VrrpInstance,
    say: (kind: FindingKind, text: string) => void,
  ): AuthHmac | undefined {
    const given = draft.authHmac;
    if (!given) return undefined;
    if (given.keys.length === 0) {
      say('error', 'auth_hmac has no usable key. Ignoring.');
      return undefined;
    }
    if (made.strict) {
      say('error', 'Strict mode does not support auth_hmac. Ignoring.');
      return undefined;
    }
    let activeKey = given.activeKey;
    if (activeKey !== undefined && !given.keys.some((key) => key.id === activeKey)) {
      say('error', `auth_hmac: there is no key ${activeKey}, the first one is used`);
      activeKey = undefined;
    }
    return {
      keys: given.keys,
      activeKey: activeKey ?? (given.keys[0]?.id as number),
      timeWindow: given.timeWindow ?? Math.max(5000, 3 * made.advertInterval),
      antiReplay: given.antiReplay ?? 'time',
      mode: given.mode ?? 'enforce',
    };
  }

  /** Two instances with one id, family and interface would be one router to everybody else. */
  #sameRouter(instances: VrrpInstance[]): void {
    for (const [index, one] of instances.entries()) {
      const other = instances
        .slice(0, index)
        .find(
          (before) =>
            before.virtualRouterId === one.virtualRouterId &&
            before.family === one.family &&
            before.interface === one.interface &&
            (before.unicastPeers === undefined) === (one.unicastPeers === undefined) &&
            before.multicastGroup === one.multicastGroup,
        );
      if (!other) continue;
      const place = this.#draft.instances.find((draft) => draft.name === one.name)?.place ?? {
        file: '',
        line: 0,
      };
      this.#say(
        'error',
        `${other.name} and ${one.name} both use VRID ${one.virtualRouterId} with ${one.family === 'ipv4' ? 'IPv4' : 'IPv6'} on interface ${one.interface ?? ''}`,
        place,
        'virtual_router_id',
      );
    }
  }

  #statics(trackGroups: Set<string>): void {
    const draft = this.#draft;
    const nowhere = { file: '', line: 0 };
    const items: { trackGroup?: string }[] = [
      ...draft.staticAddresses,
      ...draft.staticRoutes,
      ...draft.staticRules,
    ];
    for (const item of items) {
      if (item.trackGroup === undefined || trackGroups.has(item.trackGroup)) continue;
      this.#say('error', `track_group ${item.trackGroup} not found`, nowhere, 'track_group');
      delete item.trackGroup;
    }
    const fallback =
      this.#global.defaultInterface ?? (this.#surroundings.interfaceExists('eth0') ? 'eth0' : undefined);
    draft.staticAddresses = draft.staticAddresses.filter((address: VirtualAddress) => {
      if (address.interface === undefined) {
        if (fallback === undefined) {
          this.#say(
            'fatal',
            `static_ipaddress ${address.address} has no interface`,
            nowhere,
            'static_ipaddress',
          );
          return false;
        }
        address.interface = fallback;
      } else {
        this.#interface(address.interface, `ip address ${address.address}`, nowhere, 'static_ipaddress');
      }
      return true;
    });
    for (const route of draft.staticRoutes) {
      if (route.interface !== undefined)
        this.#interface(route.interface, 'VROUTE nexthop', nowhere, 'static_routes');
      else if (!route.noTrack && route.nextHops.length === 0) {
        this.#say(
          'error',
          `Warning - cannot track route ${shown(route)} with no interface specified, not tracking`,
          nowhere,
          'static_routes',
        );
      }
    }
    for (const rule of draft.staticRules) {
      if (rule.priority === undefined)
        this.#say(
          'error',
          'Rule has no preference specified - setting one below the others',
          nowhere,
          'static_rules',
        );
    }
  }

  #garpGroups(): VrrpModel['garpGroups'] {
    const taken = new Set<string>();
    return this.#draft.garpGroups.filter((group) => {
      group.interfaces = group.interfaces.filter((name) => {
        const twice = taken.has(name);
        if (twice)
          this.#say(
            'error',
            `garp_group: ${name} is in two groups, it stays in the first`,
            { file: '', line: 0 },
            'garp_group',
          );
        taken.add(name);
        this.#interface(name, 'garp_group', { file: '', line: 0 }, 'garp_group');
        return !twice;
      });
      const idle = group.garpInterval === undefined && group.gnaInterval === undefined;
      if (idle || group.interfaces.length === 0) {
        this.#say(
          'error',
          `garp_group has ${idle ? 'no interval' : 'no interfaces'}, it is left out`,
          { file: '', line: 0 },
          'garp_group',
        );
        return false;
      }
      return true;
    });
  }
}

function shown(route: { destination?: { address: string; prefixLength: number } }): string {
  return route.destination ? `${route.destination.address}/${route.destination.prefixLength}` : 'default';
}
