import type { OspfBridge } from '../model/ospf-bridge.js';
import { inSeconds, quote, type Writer } from './text.js';

/** The `ospf_bridge` block. */
export function writeOspfBridge(writer: Writer, bridge: OspfBridge): void {
  writer.block('ospf_bridge', () => {
    writer.line('router', bridge.router);
    writer.line('announce', bridge.announce);
    writer.line('when', bridge.when);
    writer.line('services', bridge.services);
    writer.line('hold', inSeconds(bridge.hold));
    writer.line('spacing', inSeconds(bridge.spacing));
    writer.bool('damping', bridge.damping);
    writer.line('metric', bridge.metric);
    writer.line('metric_type', bridge.metricType);
    writer.line('drain_metric', bridge.drainMetric);
    writer.line('drain_interface', quote(bridge.drainInterface));
    writer.line('route_protocol', bridge.protocol);
    writer.line('guard_time', inSeconds(bridge.guardTime));
    writer.list('addresses', bridge.addresses);
    writer.list('prefixes', bridge.prefixes);
    writer.line('socket', quote(bridge.socket));
    writer.optional('vty', bridge.vty, quote);
    if (bridge.telnet) {
      const { host, port, port6 } = bridge.telnet;
      writer.line('telnet', quote(host), port, port6);
    }
    writer.optional('password', bridge.password, quote);
    writer.optional('enable_password', bridge.enablePassword, quote);
    writer.optional('router_id', bridge.routerId);
    for (const one of bridge.interfaces) {
      writer.block(`interface ${quote(one.name)}`, () => {
        writer.line('area', one.area);
        writer.line('hello', one.hello);
        writer.line('dead', one.dead);
        if (one.minimal !== undefined) writer.line('dead', 'minimal', one.minimal);
        writer.optional('bfd', one.bfd);
      });
    }
  });
}
