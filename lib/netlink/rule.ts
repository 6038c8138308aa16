import { AF_INET, AF_INET6 } from '../libc.js';
import { MessageWriter, NLM_F_CREATE, NLM_F_EXCL } from './message.js';

const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;

const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_GOTO = 4;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_FLOW = 11;
const FRA_TUN_ID = 12;
const FRA_SUPPRESS_IFGROUP = 13;
const FRA_SUPPRESS_PREFIXLEN = 14;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_OIFNAME = 17;
const FRA_L3MDEV = 19;
const FRA_UID_RANGE = 20;
const FRA_PROTOCOL = 21;
const FRA_IP_PROTO = 22;
const FRA_SPORT_RANGE = 23;
const FRA_DPORT_RANGE = 24;
const FIB_RULE_INVERT = 2;

const actions = { table: 1, goto: 2, nop: 3, blackhole: 6, unreachable: 7, prohibit: 8, l3mdev: 1 } as const;

export interface Rule {
  family: 'ipv4' | 'ipv6';
  action: keyof typeof actions;
  invert: boolean;
  from?: { address: Uint8Array; prefixLength: number };
  to?: { address: Uint8Array; prefixLength: number };
  table?: number;
  target?: number;
  priority?: number;
  tos?: number;
  mark?: { value: number; mask: number };
  realms?: number;
  suppressPrefixLength?: number;
  suppressInterfaceGroup?: number;
  inputInterface?: string;
  outputInterface?: string;
  tunnelId?: bigint;
  uidRange?: { start: number; end: number };
  /** Who put it there. */
  protocol: number;
  ipProtocol?: number;
  sourcePorts?: { start: number; end: number };
  destinationPorts?: { start: number; end: number };
}

/** Request that adds a rule. */
export function addRuleRequest(rule: Rule): MessageWriter {
  return ruleRequest(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule);
}

/** Request that removes a rule. */
export function deleteRuleRequest(rule: Rule): MessageWriter {
  return ruleRequest(RTM_DELRULE, 0, rule);
}

function ruleRequest(type: number, flags: number, rule: Rule): MessageWriter {
  const table = rule.action === 'table' ? (rule.table ?? 254) : 0;
  const body = Buffer.alloc(12);
  body[0] = rule.family === 'ipv4' ? AF_INET : AF_INET6;
  body[1] = rule.to?.prefixLength ?? 0;
  body[2] = rule.from?.prefixLength ?? 0;
  body[3] = rule.tos ?? 0;
  body[4] = table < 256 ? table : 0;
  body[7] = actions[rule.action];
  body.writeUInt32LE(rule.invert ? FIB_RULE_INVERT : 0, 8);
  const request = new MessageWriter(type, flags, body);
  const range16 = (attribute: number, range: { start: number; end: number }) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt16LE(range.start, 0);
    bytes.writeUInt16LE(range.end, 2);
    request.bytes(attribute, bytes);
  };
  if (rule.to) request.bytes(FRA_DST, rule.to.address);
  if (rule.from) request.bytes(FRA_SRC, rule.from.address);
  if (rule.inputInterface !== undefined) request.text(FRA_IIFNAME, rule.inputInterface);
  if (rule.outputInterface !== undefined) request.text(FRA_OIFNAME, rule.outputInterface);
  if (rule.target !== undefined) request.u32(FRA_GOTO, rule.target);
  if (rule.priority !== undefined) request.u32(FRA_PRIORITY, rule.priority);
  if (rule.mark) request.u32(FRA_FWMARK, rule.mark.value).u32(FRA_FWMASK, rule.mark.mask);
  if (rule.realms !== undefined) request.u32(FRA_FLOW, rule.realms);
  if (rule.tunnelId !== undefined) request.u64be(FRA_TUN_ID, rule.tunnelId);
  if (rule.suppressInterfaceGroup !== undefined)
    request.u32(FRA_SUPPRESS_IFGROUP, rule.suppressInterfaceGroup);
  if (rule.suppressPrefixLength !== undefined) request.u32(FRA_SUPPRESS_PREFIXLEN, rule.suppressPrefixLength);
  if (table >= 256) request.u32(FRA_TABLE, table);
  if (rule.action === 'l3mdev') request.u8(FRA_L3MDEV, 1);
  if (rule.uidRange) {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32LE(rule.uidRange.start, 0);
    bytes.writeUInt32LE(rule.uidRange.end, 4);
    request.bytes(FRA_UID_RANGE, bytes);
  }
  request.u8(FRA_PROTOCOL, rule.protocol);
  if (rule.ipProtocol !== undefined) request.u8(FRA_IP_PROTO, rule.ipProtocol);
  if (rule.sourcePorts) range16(FRA_SPORT_RANGE, rule.sourcePorts);
  if (rule.destinationPorts) range16(FRA_DPORT_RANGE, rule.destinationPorts);
  return request;
}
