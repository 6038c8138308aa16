import { readFileSync } from 'node:fs';
import type { AuthDraft, HmacDraft, InstanceDraft, SyncGroupDraft } from '../draft.js';
import { normalAddress } from '../grammar/address.js';
import {
  block,
  type Keyword,
  type Line,
  list,
  type Shape,
  type Spec,
  storing,
  table,
  value,
} from '../grammar/keyword.js';
import {
  address,
  bool,
  flag,
  ip,
  oneOf,
  seconds,
  timer,
  uint,
  unsigned,
  word,
  words,
} from '../grammar/shapes.js';
import { readAddressLine } from '../lines/address-line.js';
import { readRouteLine } from '../lines/route-line.js';
import { readRuleLine } from '../lines/rule-line.js';
import type { GarpSettings, VirtualAddress, VirtualMac, VirtualRoute, VirtualRule } from '../model/vrrp.js';
import { countFromOne, extraInterface, wholeSeconds } from './global-defs.js';
import { notifyKeywords } from './notify.js';
import { trackKeywords } from './track.js';

const LARGEST = 4294967295;
const U: Spec = { in: 'upstream' };

/** Sets one field of the draft. */
const set = storing<InstanceDraft>();

function setGarp<K extends keyof GarpSettings>(key: K) {
  return (target: InstanceDraft, read: GarpSettings[K]) => {
    target.garp[key] = read;
  };
}

function addresses(name: string, key: 'virtualAddresses' | 'excludedAddresses'): Keyword<InstanceDraft> {
  return list(name, 'IP[/LENGTH] [dev IF] [scope S] [brd IP|+|-] [label L] [peer IP] [...]', {
    each(target: InstanceDraft, line) {
      const made = readAddressLine(line.words, line, name);
      if (made) target[key].push(made);
    },
  });
}

const MAC = /^[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}$/;

/** `use_vmac [name] [IF] [MAC] [netlink_notify_msg] [group G]`, `use_ipvlan [name] [IF] [IP] [bridge|private|vepa] [group G]`. */
function virtualMac(kind: 'macvlan' | 'ipvlan'): Shape<VirtualMac> {
  return {
    text:
      kind === 'macvlan'
        ? '[name] [IF] [MAC] [netlink_notify_msg] [group G]'
        : '[name] [IF] [IP] [bridge|private|vepa] [group G]',
    least: 0,
    read(line) {
      const made: VirtualMac = { kind, netlinkNotify: false, transmitBase: false };
      for (let at = 1; at < line.words.length; at++) {
        const given = line.words[at] as string;
        const next = line.words[at + 1];
        if (given === 'netlink_notify_msg' && kind === 'macvlan') made.netlinkNotify = true;
        else if (given === 'name' && next !== undefined) {
          made.name = next;
          at++;
        } else if (given === 'group' && next !== undefined) {
          const group = unsigned(next, 0, LARGEST, line);
          if (group !== undefined) made.group = group;
          at++;
        } else if (kind === 'ipvlan' && (given === 'bridge' || given === 'private' || given === 'vepa')) {
          made.mode = given;
        } else if (kind === 'macvlan' && MAC.test(given)) {
          made.mac = given.toLowerCase().replace(/\b([0-9a-f])\b/g, '0$1');
        } else if (kind === 'ipvlan' && normalAddress(given.replace(/\/\d+$/, '')) !== undefined) {
          made.address = normalAddress(given.replace(/\/\d+$/, '')) as string;
        } else if (given.length > 15) {
          line.report('error', `'${line.keyword}': '${given}' is too long for the name of an interface`);
        } else if (made.name === undefined) {
          made.name = given;
        } else {
          line.report('error', `'${line.keyword}': unknown word '${given}'`);
        }
      }
      return made;
    },
  };
}

const authentication = table<AuthDraft>('authentication', [
  value('auth_type', oneOf(['PASS', 'AH'] as const), (target, type) => {
    target.type = type === 'AH' ? 'ah' : 'pass';
  }),
  value('auth_pass', word, (target, password, line) => {
    const bytes = Buffer.from(password);
    if (bytes.length > 8) line.report('error', `'auth_pass' is longer than 8 bytes, only the first 8 count`);
    target.password = bytes.length > 8 ? bytes.subarray(0, 8).toString() : password;
  }),
]);

/** A key of 32 to 64 bytes: text, `hex:...` or `file:PATH`. */
function hmacKey(line: Line): { id: number; secretHex: string } | undefined {
  const [, idText = '', ...rest] = line.words;
  const id = unsigned(idText, 1, 255, line, true);
  const text = rest.join(' ');
  if (id === undefined) return undefined;
  let secret: Buffer;
  if (text.startsWith('hex:')) {
    const digits = text.slice(4);
    if (!/^([0-9a-fA-F]{2})*$/.test(digits)) {
      line.report('error', "'key': not an even number of hexadecimal digits behind hex:");
      return undefined;
    }
    secret = Buffer.from(digits, 'hex');
  } else if (text.startsWith('file:')) {
    try {
      const content = readFileSync(text.slice(5));
      const end = content.indexOf(10);
      secret = end < 0 ? content : content.subarray(0, end);
    } catch (error) {
      line.report('error', `'key': ${(error as Error).message}`);
      return undefined;
    }
  } else {
    secret = Buffer.from(text);
  }
  if (secret.length < 32 || secret.length > 64) {
    line.report('error', `'key': a key has 32 to 64 bytes, this one has ${secret.length}; ignored`);
    return undefined;
  }
  return { id, secretHex: secret.toString('hex') };
}

const authHmac = table<HmacDraft>('auth_hmac', [
  value(
    'key',
    { text: '1..255 TEXT|hex:...|file:PATH', least: 2, read: hmacKey },
    (target, key, line) => {
      if (target.keys.some((other) => other.id === key.id)) {
        line.report('error', `'key': there are two keys ${key.id}, the first one stays`);
      } else {
        target.keys.push(key);
      }
    },
    U,
  ),
  value(
    'active_key',
    uint(1, 255),
    (target, id) => {
      target.activeKey = id;
    },
    U,
  ),
  value(
    'time_window',
    wholeSeconds(1, 300),
    (target, time) => {
      target.timeWindow = time;
    },
    { ...U, default: '3 advert_int, at least 5 s' },
  ),
  value(
    'anti_replay',
    oneOf(['time', 'monotonic'] as const),
    (target, how) => {
      target.antiReplay = how;
    },
    { ...U, default: 'time' },
  ),
  value(
    'mode',
    oneOf(['enforce', 'permissive', 'receive-only'] as const),
    (target, mode) => {
      target.mode = mode;
    },
    { ...U, default: 'enforce' },
  ),
]);

export function routes<T>(name: string, of: (target: T) => VirtualRoute[]): Keyword<T> {
  return list(name, 'TYPE NETWORK [via IP] [dev IF] [table T] [...]', {
    each(target: T, line) {
      const made = readRouteLine(line.words, line, name);
      if (made) of(target).push(made);
    },
  });
}

export function rules<T>(name: string, of: (target: T) => VirtualRule[]): Keyword<T> {
  return list(name, '[from NETWORK] [to NETWORK] [table T] [...]', {
    each(target: T, line) {
      const made = readRuleLine(line.words, line, name);
      if (made) of(target).push(made);
    },
  });
}

export function staticAddresses<T>(name: string, of: (target: T) => VirtualAddress[]): Keyword<T> {
  return list(name, 'IP[/LENGTH] [dev IF] [...]', {
    each(target: T, line) {
      const made = readAddressLine(line.words, line, name);
      if (made) of(target).push(made);
    },
  });
}

export const vrrpInstance = table<InstanceDraft>(
  'vrrp_instance',
  [
    value(
      'state',
      { text: 'MASTER|BACKUP', least: 1, read: (line) => line.words[1] as string },
      (target, state, line) => {
        if (state !== 'MASTER' && state !== 'BACKUP') {
          line.report('error', `'state': '${state}' is neither MASTER nor BACKUP; BACKUP is used`);
        }
        // A second `state BACKUP` does not take MASTER back, as in keepalived.
        if (target.initialState !== 'master') target.initialState = state === 'MASTER' ? 'master' : 'backup';
      },
      { default: 'BACKUP' },
    ),
    value('interface', word, set('interface')),
    value('dpdk_interface', word, set('dpdkInterface'), { in: 'dpvs' }),
    value('vrf', word, set('vrf'), U),
    value('virtual_router_id', uint(1, 255, { strict: true }), set('virtualRouterId')),
    value('priority', uint(1, 255, { strict: true }), set('priority'), {
      default: '100 (255 with state MASTER)',
    }),
    value(
      'advert_int',
      { text: '0.01..255 s', least: 1, read: (line) => seconds(line.words[1] as string, 0.01, 255, line) },
      set('advertInterval'),
      { default: '1 s' },
    ),
    value('version', uint(2, 3, { strict: true }), (target, version) => {
      target.version = version as 2 | 3;
    }),
    value('use_vmac', virtualMac('macvlan'), set('virtualMac')),
    value('use_vmac_addr', flag, set('virtualMacForAddresses'), U),
    value('vmac_xmit_base', flag, set('transmitBase')),
    value('use_ipvlan', virtualMac('ipvlan'), set('virtualMac')),
    list('unicast_peer', 'IP [min_ttl N] [max_ttl N]', {
      begin(target: InstanceDraft) {
        target.unicastPeers ??= [];
        return target;
      },
      each(target, line) {
        const [text = '', ...rest] = line.words;
        line.words = ['unicast_peer', ...line.words];
        const peer = address(text, line);
        if (peer === undefined) return;
        const made = { address: peer, minTtl: 0, maxTtl: 255 };
        for (let at = 0; at < rest.length; at += 2) {
          const name = rest[at];
          const given = rest[at + 1];
          if ((name !== 'min_ttl' && name !== 'max_ttl') || given === undefined) {
            line.report('error', `'unicast_peer': ${peer}: '${rest.slice(at).join(' ')}' is not understood`);
            break;
          }
          const read = unsigned(given, 0, 255, line);
          if (read !== undefined) made[name === 'min_ttl' ? 'minTtl' : 'maxTtl'] = read;
        }
        if (target.unicastPeers?.some((other) => other.address === peer)) {
          line.report('error', `'unicast_peer': ${peer} is there twice`);
        } else {
          target.unicastPeers?.push(made);
        }
      },
    }),
    value('unicast_fault_no_peer', flag, set('unicastFaultNoPeer'), U),
    value('check_unicast_src', flag, set('checkUnicastSource'), U),
    value('unicast_ttl', uint(0, 255), set('unicastTtl'), { ...U, default: '255' }),
    value('old_unicast_checksum', words('[never]', 0), (target, [when], line) => {
      if (when !== undefined && when !== 'never')
        line.report('error', `'old_unicast_checksum': unknown word '${when}'`);
      target.oldUnicastChecksum = when === 'never' ? 'never' : 'always';
    }),
    value('native_ipv6', flag, set('nativeIpv6')),
    value('unicast_src_ip', ip, (target, source) => {
      target.sourceAddress = source;
      target.unicast = true;
    }),
    value('mcast_src_ip', ip, set('sourceAddress')),
    value('mcast_dst_ip', ip, set('multicastGroup'), U),
    value('track_src_ip', flag, set('trackSourceAddress')),
    value('dont_track_primary', flag, set('dontTrackPrimary')),
    ...trackKeywords<InstanceDraft>(),
    addresses('virtual_ipaddress', 'virtualAddresses'),
    addresses('virtual_ipaddress_excluded', 'excludedAddresses'),
    value('no_virtual_ipaddress', flag, set('noVirtualAddress'), U),
    value('promote_secondaries', flag, set('promoteSecondaries')),
    routes('virtual_routes', (target) => target.virtualRoutes),
    rules('virtual_rules', (target) => target.virtualRules),
    value('v3_checksum_as_v2', bool, set('v3ChecksumAsV2'), U),
    value('accept', flag, set('accept')),
    value('no_accept', flag, (target) => {
      target.accept = false;
    }),
    value('skip_check_adv_addr', bool, set('skipCheckAdvertAddresses')),
    value('strict_mode', bool, set('strict')),
    value('preempt', flag, (target) => {
      target.preempt = true;
    }),
    value('nopreempt', flag, (target) => {
      target.preempt = false;
    }),
    value('preempt_delay', timer(0, 1000), set('preemptDelay'), { default: '0 s' }),
    value('debug', uint(0, 4), set('debug')),
    ...notifyKeywords<InstanceDraft>({ group: false }),
    value('lvs_sync_daemon_interface', word, set('lvsSyncDaemonInterface'), {
      alias: 'lvs_sync_daemon',
      warn: true,
      accepted: 'the dataplane has no IPVS sync daemon; connections stay with the director that has them',
    }),
    value('garp_master_delay', wholeSeconds(), setGarp('delay')),
    value('garp_master_refresh', wholeSeconds(), setGarp('refresh')),
    value('garp_master_repeat', countFromOne, setGarp('repeat')),
    value('garp_master_refresh_repeat', countFromOne, setGarp('refreshRepeat')),
    value('garp_lower_prio_delay', wholeSeconds(), setGarp('lowerPriorityDelay')),
    value('garp_lower_prio_repeat', uint(0, LARGEST), setGarp('lowerPriorityRepeat')),
    value('down_timer_adverts', uint(1, 100), set('downTimerAdverts'), { ...U, default: '3' }),
    ...(['timer_expired_backup', 'thread_timer_expired'] as const).map((name) =>
      value<InstanceDraft, number>(
        name,
        {
          text: '[1..254]',
          least: 0,
          read: (line) => (line.words.length < 2 ? 254 : unsigned(line.words[1] as string, 1, 254, line)),
        },
        set('timerExpiredBackupPriority'),
        name === 'timer_expired_backup' ? U : { ...U, alias: 'timer_expired_backup', warn: true },
      ),
    ),
    ...(['garp_extra_if', 'vmac_garp_intvl'] as const).map((name) =>
      value<InstanceDraft, { all: boolean; interval: number }>(
        name,
        extraInterface(0),
        (target, read) => {
          target.garp.extraInterfaceInterval = read.interval;
          target.garp.extraInterfaceAll = read.all;
        },
        name === 'garp_extra_if' ? U : { ...U, alias: 'garp_extra_if', warn: true },
      ),
    ),
    value('lower_prio_no_advert', bool, set('lowerPriorityNoAdvert')),
    value('higher_prio_send_advert', bool, set('higherPrioritySendAdvert')),
    value('owner_ignore_adverts', bool, set('ownerIgnoreAdverts'), U),
    value('kernel_rx_buf_size', uint(1, LARGEST), set('kernelReceiveBuffer')),
    block('authentication', {
      table: authentication,
      begin(target: InstanceDraft) {
        target.authentication ??= {};
        return target.authentication;
      },
    }),
    block(
      'auth_hmac',
      {
        table: authHmac,
        begin(target: InstanceDraft) {
          target.authHmac ??= { keys: [] };
          return target.authHmac;
        },
      },
      U,
    ),
    value('linkbeat_use_polling', flag, () => {}, {
      alias: 'linkbeat_interfaces',
      warn: true,
      accepted: 'link state comes from netlink; every driver of today reports it there',
    }),
  ],
  {
    tolerant: ['garp_extra_if', 'vmac_garp_intvl', 'kernel_rx_buf_size'],
    once: ['use_vmac', 'use_ipvlan'],
  },
);

export const vrrpSyncGroup = table<SyncGroupDraft>('vrrp_sync_group', [
  list('group', 'INSTANCE', {
    several: true,
    each(target: SyncGroupDraft, line) {
      const name = line.keyword;
      if (target.members.includes(name)) line.report('error', `group: '${name}' is there twice`);
      else target.members.push(name);
    },
  }),
  ...trackKeywords<SyncGroupDraft>(),
  ...notifyKeywords<SyncGroupDraft>({ group: true }),
  value(
    'global_tracking',
    flag,
    (target) => {
      target.trackingWeight = true;
    },
    { alias: 'sync_group_tracking_weight', warn: true },
  ),
  value('sync_group_tracking_weight', flag, (target) => {
    target.trackingWeight = true;
  }),
]);
