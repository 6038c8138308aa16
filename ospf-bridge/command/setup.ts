import type { OspfBridgePart } from '../../keepalived/model/index.js';
import type { OspfBridge, OspfInterface } from '../../keepalived/model/ospf-bridge.js';
import { openTelnetVty } from '../../lib/vty/telnet.js';
import { openUnixVty } from '../../lib/vty/unix.js';
import { VtyError } from '../../lib/vty/vty.js';
import { externally } from '../kernel.js';
import { prefixOf, scopeOf } from '../policy.js';

/** The configuration of one daemon. */
export interface SetupText {
  daemon: 'ospfd' | 'ospf6d' | 'bfdd' | 'bird';
  title: string;
  text: string;
}

export const ROUTE_MAP = 'DPVS-VIP';
export const PREFIX_LIST = 'DPVS-VIPS';

/** Prefixes of one family that may be announced. */
function prefixes({ bridge, virtualAddresses, instances }: OspfBridgePart, family: 4 | 6): string[] {
  const own = (text: string) => text.includes(':') === (family === 6);
  const configured = bridge.prefixes.filter(own);
  if (configured.length > 0) return configured;
  return [...scopeOf({ bridge, virtualAddresses, instances } as OspfBridgePart).addresses]
    .filter(own)
    .map(prefixOf);
}

/** What belongs into the configuration of the routing daemon: all that the bridge relies upon, and nothing else. */
export function setupTexts(part: OspfBridgePart): SetupText[] {
  const { bridge } = part;
  if (bridge.router === 'bird') return [{ daemon: 'bird', title: 'bird.conf', text: birdText(part) }];
  const texts: SetupText[] = [];
  const folder = bridge.router === 'frr' ? '/etc/frr/frr.conf' : '/etc/quagga/ospfd.conf';
  if (prefixes(part, 4).length > 0)
    texts.push({ daemon: 'ospfd', title: `ospfd (${folder})`, text: zebraText(part, 4) });
  if (prefixes(part, 6).length > 0)
    texts.push({
      daemon: 'ospf6d',
      title: `ospf6d (${folder.replace('ospfd', 'ospf6d')})`,
      text: zebraText(part, 6),
    });
  const intervals = new Set(bridge.interfaces.map(({ bfd }) => bfd).filter((one) => one !== undefined));
  if (intervals.size > 0 && bridge.router === 'frr') {
    const lines = [...intervals].flatMap((interval) => [
      ` profile ${profileOf(interval)}`,
      '  detect-multiplier 3',
      `  receive-interval ${interval}`,
      `  transmit-interval ${interval}`,
    ]);
    // Before those that refer to it.
    texts.unshift({ daemon: 'bfdd', title: `bfdd (${folder})`, text: `bfd\n${lines.join('\n')}\n!\n` });
  }
  return texts;
}

/** Name of bfdd's profile for an interval in milliseconds. */
function profileOf(interval: number): string {
  return `dpvs-ha-${interval}`;
}

/** ospf6d of quagga is told areas in its own block, by dotted numbers. */
function areaByInterface({ router }: OspfBridge, family: 4 | 6): boolean {
  return router !== 'quagga' || family === 4;
}

/** An area as four numbers. */
export function dotted(area: string): string {
  if (area.includes('.')) return area;
  const number = Number(area);
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.');
}

function interfaceText(one: OspfInterface, bridge: OspfBridge, family: 4 | 6): string[] {
  const ip = family === 4 ? 'ip ospf' : 'ipv6 ospf6';
  const lines = [`interface ${one.name}`];
  if (areaByInterface(bridge, family)) lines.push(` ${ip} area ${one.area}`);
  lines.push(` ${ip} network point-to-point`);
  if (one.minimal !== undefined && family === 4)
    lines.push(` ${ip} dead-interval minimal hello-multiplier ${one.minimal}`);
  else lines.push(` ${ip} hello-interval ${one.hello}`, ` ${ip} dead-interval ${one.dead}`);
  lines.push(` ${ip} retransmit-interval 1`);
  // quagga has no BFD. FRR forgets the profile when BFD is not switched on before.
  if (one.bfd !== undefined && bridge.router === 'frr')
    lines.push(` ${ip} bfd`, ` ${ip} bfd profile ${profileOf(one.bfd)}`);
  return lines;
}

function zebraText(part: OspfBridgePart, family: 4 | 6): string {
  const { bridge } = part;
  const ip = family === 4 ? 'ip' : 'ipv6';
  const ospf = family === 4 ? 'ip ospf' : 'ipv6 ospf6';
  const full = family === 4 ? 32 : 128;
  const list = prefixes(part, family);
  const lines: string[] = [];
  for (const one of bridge.interfaces) lines.push(...interfaceText(one, bridge, family), '!');
  const area = bridge.interfaces[0]?.area ?? '0';
  if (bridge.announce === 'intra_area') {
    const inArea = areaByInterface(bridge, family) ? [` ${ospf} area ${area}`] : [];
    if (inArea.length > 0) lines.push('interface lo', ...inArea, '!');
    lines.push(`interface ${bridge.drainInterface}`, ...inArea, ` ${ospf} passive`);
    lines.push(` ${ospf} cost ${Math.min(65535, bridge.drainMetric)}`, '!');
  } else {
    list.forEach((prefix, index) => {
      const [, length = String(full)] = prefix.split('/');
      const name = prefix.includes('/') ? prefix : `${prefix}/${full}`;
      const longer = Number(length) < full ? ` ge ${full}` : '';
      lines.push(`${ip} prefix-list ${PREFIX_LIST} seq ${5 * (index + 1)} permit ${name}${longer}`);
    });
    // First the drained ones, told by the device that they point to.
    lines.push(`route-map ${ROUTE_MAP} permit 10`, ` match interface ${bridge.drainInterface}`);
    lines.push(` match ${ip} address prefix-list ${PREFIX_LIST}`, ` set metric ${bridge.drainMetric}`, '!');
    lines.push(`route-map ${ROUTE_MAP} permit 20`, ` match ${ip} address prefix-list ${PREFIX_LIST}`);
    lines.push(` set metric ${bridge.metric}`, '!');
  }
  lines.push(family === 4 ? 'router ospf' : 'router ospf6');
  const routerId =
    family === 4 ? 'ospf router-id' : bridge.router === 'quagga' ? 'router-id' : 'ospf6 router-id';
  if (bridge.routerId !== undefined) lines.push(` ${routerId} ${bridge.routerId}`);
  if (!areaByInterface(bridge, family)) {
    const within = bridge.announce === 'intra_area' ? ['lo', bridge.drainInterface] : [];
    const all = [...bridge.interfaces, ...within.map((name) => ({ name, area }))];
    for (const one of all) lines.push(` interface ${one.name} area ${dotted(one.area)}`);
  }
  if (family === 4) lines.push(' timers throttle lsa all 0');
  lines.push(' timers throttle spf 0 10 100');
  if (bridge.router === 'frr') lines.push(' timers lsa min-arrival 0');
  if (bridge.announce === 'external')
    lines.push(
      bridge.router === 'quagga' && family === 6
        ? ` redistribute kernel route-map ${ROUTE_MAP}`
        : ` redistribute kernel metric ${bridge.metric} metric-type ${bridge.metricType} route-map ${ROUTE_MAP}`,
    );
  lines.push('!');
  return `${lines.join('\n')}\n`;
}

function birdText(part: OspfBridgePart): string {
  const { bridge } = part;
  const lines: string[] = [];
  if (bridge.routerId !== undefined) lines.push(`router id ${bridge.routerId};`);
  lines.push('protocol device {}');
  const families = ([4, 6] as const).filter((family) => prefixes(part, family).length > 0);
  for (const family of families) {
    const external = externally(family === 4 ? '0.0.0.0' : '::', bridge);
    const own = prefixes(part, family).map((one) => {
      const full = family === 4 ? 32 : 128;
      const [host, length = String(full)] = one.split('/');
      return `${host}/${length}{${full},${full}}`;
    });
    // Within the area it is the drained ones alone that are routes.
    const metrics = external
      ? [
          `    if ifname = "${bridge.drainInterface}" then ospf_metric1 = ${bridge.drainMetric};`,
          `    else ospf_metric1 = ${bridge.metric};`,
        ]
      : [`    ospf_metric1 = ${bridge.drainMetric};`];
    const which = external ? '' : ` && ifname = "${bridge.drainInterface}"`;
    lines.push(
      `protocol kernel kernel${family} {`,
      '  learn;',
      // Routes that were learnt must beat those of OSPF itself.
      `  ipv${family} { preference 200; import all; export ${bridge.interfaces.length > 0 ? 'where source != RTS_INHERIT' : 'none'}; };`,
      '  merge paths on;',
      '}',
      `filter vips${family} {`,
      `  if source = RTS_INHERIT && krt_source = ${bridge.protocol}${which} && net ~ [ ${own.join(', ')} ] then {`,
      ...metrics,
      '    accept;',
      '  }',
      '  reject;',
      '}',
    );
    lines.push(
      `protocol ospf v${family === 4 ? 2 : 3} ospf${family} {`,
      '  ecmp yes;',
      '  merge external yes;',
    );
    lines.push(`  ipv${family} { import all; export filter vips${family}; };`);
    lines.push(`  area ${bridge.interfaces[0]?.area ?? '0'} {`);
    for (const one of bridge.interfaces) {
      const bfd = one.bfd === undefined ? '' : ' bfd yes;';
      lines.push(`    interface "${one.name}" { type ptp; hello ${one.hello}; dead ${one.dead};${bfd} };`);
    }
    if (!external) lines.push('    interface "lo" { stub yes; };');
    lines.push('  };', '}');
  }
  const bfd = bridge.interfaces.filter((one) => one.bfd !== undefined);
  if (bfd.length > 0) {
    lines.push('protocol bfd {');
    for (const one of bfd)
      lines.push(
        `  interface "${one.name}" { min rx interval ${one.bfd} ms; min tx interval ${one.bfd} ms; multiplier 3; };`,
      );
    lines.push('}');
  }
  return `${lines.join('\n')}\n`;
}

/**
 * Puts the configuration into force over the VTY, line by line; what is there of other things stays. Nothing is saved to a file.
 * @returns what was done, a sentence for each daemon
 */
export async function applySetup(part: OspfBridgePart): Promise<string[]> {
  const { bridge } = part;
  const said: string[] = [];
  for (const { daemon, text } of setupTexts(part)) {
    if (daemon === 'bird')
      throw new Error(
        'BIRD takes its configuration from its file alone: put the text there and run birdc configure',
      );
    const folder = bridge.vty ?? (bridge.router === 'frr' ? '/run/frr' : '/run/quagga');
    const { telnet, password, enablePassword } = bridge;
    const vty =
      telnet && daemon !== 'bfdd'
        ? await openTelnetVty({
            host: telnet.host,
            port: daemon === 'ospf6d' ? telnet.port6 : telnet.port,
            password,
            enablePassword,
          })
        : await openUnixVty(`${folder}/${daemon}.vty`);
    try {
      await vty.ask('configure terminal');
      const lines = text.split('\n').filter((line) => line !== '' && line !== '!');
      for (const line of lines) {
        // A block at the top level ends the one before.
        await vty.ask(line.trim());
      }
      await vty.ask('end');
      said.push(`${daemon}: ${lines.length} lines taken; save them with 'write memory' when they are right`);
    } catch (error) {
      if (error instanceof VtyError && error.fault === 'command')
        throw new Error(`${daemon} stopped at a line, those before are in force: ${error.message}`);
      throw error;
    } finally {
      vty.close();
    }
  }
  return said;
}
