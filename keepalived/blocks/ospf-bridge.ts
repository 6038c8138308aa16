import type { Draft } from '../draft.js';
import { block, type Keyword, list, type Spec, storing, table, value } from '../grammar/keyword.js';
import { address, bool, ip4, oneOf, timer, uint, unsigned, word, words } from '../grammar/shapes.js';
import { defaultOspfBridge, type OspfBridge, type OspfInterface } from '../model/ospf-bridge.js';

const ours: Spec = { in: 'ours' };
const spec = (standard: string): Spec => ({ in: 'ours', default: standard });

const set = storing<OspfBridge>();

const setInterface = storing<OspfInterface>();

const ospfInterface = table<OspfInterface>('interface', [
  value('area', word, setInterface('area'), spec('0')),
  value('hello', uint(1, 65535), setInterface('hello'), spec('1')),
  value(
    'dead',
    words('SECONDS | minimal HELLOS', 1),
    (target, given, line) => {
      if (given[0] === 'minimal') {
        const hellos = unsigned(given[1] ?? '4', 2, 20, line);
        if (hellos !== undefined) target.minimal = hellos;
        return;
      }
      const seconds = unsigned(given[0] as string, 1, 65535, line);
      if (seconds !== undefined) target.dead = seconds;
    },
    spec('4'),
  ),
  value(
    'bfd',
    words('[MILLISECONDS=100]', 0),
    (target, given, line) => {
      const milliseconds = unsigned(given[0] ?? '100', 10, 60000, line);
      if (milliseconds !== undefined) target.bfd = milliseconds;
    },
    ours,
  ),
]);

/** A prefix `IP/LENGTH`, or an address. */
function isPrefix(text: string): boolean {
  const [host = '', length, more] = text.split('/');
  const family = host.includes(':') ? 128 : 32;
  return more === undefined && (length === undefined || (/^\d+$/.test(length) && Number(length) <= family));
}

const bridge = table<OspfBridge>('ospf_bridge', [
  value('router', oneOf(['frr', 'quagga', 'bird'] as const), set('router'), spec('frr')),
  value('announce', oneOf(['external', 'intra_area'] as const), set('announce'), spec('external')),
  value('when', oneOf(['quorum', 'always', 'master'] as const), set('when'), spec('quorum')),
  value('services', oneOf(['all', 'any'] as const), set('services'), spec('all')),
  value('hold', timer(0), set('hold'), spec('0')),
  value('spacing', timer(0, 60), set('spacing'), spec('1.5')),
  value('damping', bool, set('damping'), spec('true')),
  value('metric', uint(0, 16777214), set('metric'), spec('20')),
  value(
    'metric_type',
    uint(1, 2),
    (target, type) => {
      target.metricType = type as 1 | 2;
    },
    spec('1'),
  ),
  value('drain_metric', uint(0, 16777214), set('drainMetric'), spec('5000')),
  value('drain_interface', word, set('drainInterface'), spec('drain0')),
  value(
    'route_protocol',
    uint(3, 255),
    (target, protocol, line) => {
      // What FRR's zebra takes for routes of its own, or of the kernel, is never redistributed.
      if (protocol === 11 || protocol === 42 || (protocol >= 186 && protocol <= 198))
        line.report(
          'error',
          `'route_protocol': routing daemons do not announce routes of protocol ${protocol}, ignored`,
        );
      else target.protocol = protocol;
    },
    spec('201'),
  ),
  value('guard_time', timer(0), set('guardTime'), spec('60')),
  list(
    'addresses',
    'IP',
    {
      several: true,
      each(target, line) {
        const one = address(line.keyword, line);
        if (one !== undefined && !target.addresses.includes(one)) target.addresses.push(one);
      },
    },
    ours,
  ),
  list(
    'prefixes',
    'IP/LENGTH',
    {
      several: true,
      each(target, line) {
        const [host = ''] = line.keyword.split('/');
        if (address(host, line) === undefined) return;
        if (isPrefix(line.keyword)) target.prefixes.push(line.keyword);
        else line.report('error', `'prefixes': '${line.keyword}' is no prefix, ignored`);
      },
    },
    ours,
  ),
  value('socket', word, set('socket'), spec('/run/ospf-bridge.sock')),
  value('vty', word, set('vty'), ours),
  value(
    'telnet',
    words('HOST [PORT=2604 [PORT6=2606]]', 1),
    (target, [host, port = '2604', port6 = '2606'], line) => {
      const [first, second] = [unsigned(port, 1, 65535, line), unsigned(port6, 1, 65535, line)];
      if (first !== undefined && second !== undefined)
        target.telnet = { host: host as string, port: first, port6: second };
    },
    ours,
  ),
  value('password', word, set('password'), ours),
  value('enable_password', word, set('enablePassword'), ours),
  value('router_id', ip4, set('routerId'), ours),
  block(
    'interface',
    {
      args: 'NAME',
      least: 1,
      table: ospfInterface,
      begin(target: OspfBridge, line) {
        const name = line.words[1] as string;
        const known = target.interfaces.find((one) => one.name === name);
        if (known) return known;
        const made: OspfInterface = { name, area: '0', hello: 1, dead: 4 };
        target.interfaces.push(made);
        return made;
      },
    },
    ours,
  ),
]);

/** `ospf_bridge { ... }`: other programs do not know it, so it is best kept in an included file of its own. */
export const ospfBridge: Keyword<Draft> = block(
  'ospf_bridge',
  {
    table: bridge,
    begin(draft: Draft) {
      draft.ospfBridge ??= defaultOspfBridge();
      return draft.ospfBridge;
    },
  },
  ours,
);
