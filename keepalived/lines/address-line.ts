import { familyOf, fromNumber, normalAddress, readPrefix, toNumber } from '../grammar/address.js';
import type { Line } from '../grammar/keyword.js';
import { unsigned } from '../grammar/shapes.js';
import { addressDefaults, type VirtualAddress } from '../model/vrrp.js';
import { numberOf } from './names.js';

/** Longest label the kernel takes: IFNAMSIZ without its end. */
const LONGEST_LABEL = 15;

/**
 * Reads a line of virtual_ipaddress, virtual_ipaddress_excluded or static_ipaddress. An unknown word is reported and passed over;
 * a word without its value costs the whole address.
 * @param what for messages: the block's keyword
 */
export function readAddressLine(
  words: readonly string[],
  line: Line,
  what: string,
): VirtualAddress | undefined {
  const wrong = (text: string) => line.diagnostics.report('error', `${what}: ${text}`, what);
  const prefix = readPrefix(words[0] as string);
  if (!prefix) {
    wrong(`'${words[0]}' is no IP address`);
    return undefined;
  }
  const made = addressDefaults(prefix.address, prefix.prefixLength);
  const family = familyOf(made.address);
  let broadcast: string | undefined;
  for (let at = 1; at < words.length; at++) {
    const name = words[at] as string;
    const switches: Record<string, () => void> = {
      home: () => {
        made.home = true;
      },
      '-nodad': () => {
        made.noDad = true;
      },
      mngtmpaddr: () => {
        made.manageTemporaryAddress = true;
      },
      noprefixroute: () => {
        made.noPrefixRoute = true;
      },
      autojoin: () => {
        made.autoJoin = true;
      },
      no_track: () => {
        made.noTrack = true;
      },
      use_vmac: () => {
        made.useVmac = true;
      },
    };
    if (Object.hasOwn(switches, name)) {
      switches[name]?.();
      continue;
    }
    if (
      !['dev', 'scope', 'broadcast', 'brd', 'label', 'peer', 'preferred_lft', 'track_group'].includes(name)
    ) {
      wrong(`${words[0]}: unknown word '${name}'`);
      continue;
    }
    const given = words[++at];
    if (given === undefined) {
      wrong(`${words[0]}: '${name}' has no value, the address is left out`);
      return undefined;
    }
    switch (name) {
      case 'dev':
        made.interface = given;
        break;
      case 'scope': {
        const scope = numberOf('rt_scopes', given, 255);
        if (scope === undefined) wrong(`${words[0]}: unknown scope '${given}'`);
        else if (family === 6) wrong(`${words[0]}: an IPv6 address takes no scope`);
        else made.scope = scope;
        break;
      }
      case 'broadcast':
      case 'brd':
        if (family === 6) wrong(`${words[0]}: an IPv6 address takes no broadcast address`);
        else broadcast = given;
        break;
      case 'label':
        if (given.length > LONGEST_LABEL) {
          wrong(
            `${words[0]}: the label '${given}' is longer than ${LONGEST_LABEL} characters, the address is left out`,
          );
          return undefined;
        }
        if (family === 6) wrong(`${words[0]}: an IPv6 address takes no label`);
        else made.label = given;
        break;
      case 'peer': {
        const peer = readPrefix(given);
        if (!peer || familyOf(peer.address) !== family)
          wrong(`${words[0]}: '${given}' is no peer address for it`);
        else made.peer = peer;
        break;
      }
      case 'preferred_lft':
        if (given === 'forever') made.preferredLifetime = 'forever';
        else {
          const time = unsigned(given, 0, 4294967295, line);
          if (time !== undefined) made.preferredLifetime = time;
        }
        break;
      case 'track_group':
        made.trackGroup = given;
        break;
    }
  }
  if (broadcast !== undefined && made.peer) {
    wrong(`${words[0]}: broadcast and peer exclude each other, broadcast is ignored`);
  } else if (broadcast !== undefined) {
    const resolved = broadcastOf(broadcast, made.address, made.prefixLength);
    if (resolved === undefined) wrong(`${words[0]}: '${broadcast}' is no broadcast address`);
    else made.broadcast = resolved;
  }
  return made;
}

/** `+` sets all bits of the host part, `-` clears them. */
function broadcastOf(text: string, address: string, prefixLength: number): string | undefined {
  if (text !== '+' && text !== '-') {
    const normal = normalAddress(text);
    return normal !== undefined && familyOf(normal) === 4 ? normal : undefined;
  }
  const host = (1n << BigInt(32 - prefixLength)) - 1n;
  const number = toNumber(address);
  return fromNumber(text === '+' ? number | host : number & ~host, 4);
}
