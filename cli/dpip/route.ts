import { Flush_What, type Route, Table, Verb } from '../../dpvsd/generated/control.js';
import { addressText, type Prefix } from '../address.js';
import { UsageError } from '../usage.js';
import { apply, type DpipObject, verbOf } from './object.js';
import { Arguments, checkFamily, type Family } from './words.js';

/** Routes of the dataplane: `dpip route`. */
export const route: DpipObject = {
  name: 'route',
  usage: `\
    dpip [-4|-6] route show [dev DEVICE]
    dpip [-6] route {add|set|replace|del} PREFIX [via ADDRESS] [dev DEVICE] [src ADDRESS] [mtu N] [metric N]
              [tos N] [scope SCOPE]
    dpip [-4|-6] route flush [dev DEVICE]
  PREFIX := ADDRESS[/LENGTH] | default
  SCOPE := host | link | global | kni_host; without it: global with a gateway, link without one
  kni_host: packets to this address go to the kernel's twin of the device`,

  parse(command, words, globals) {
    const none = ['show', 'flush'].includes(command);
    const keywords = none ? ['dev'] : ['via', 'dev', 'src', 'mtu', 'metric', 'tos', 'scope', 'proto'];
    const given = new Arguments(words, keywords, none ? [] : ['onlink', 'local'], none ? 0 : 1);
    const device = given.text('dev') ?? '';
    if (command === 'show') {
      return async ({ client, output }) => {
        const rows = (await client.list(Table.TABLE_ROUTES, 'route', { device })).filter(
          inFamily(globals.family),
        );
        if (globals.json) output.json(rows.map(routeJson));
        else for (const row of rows) output.line(routeLine(row));
      };
    }
    if (command === 'flush') {
      if (!globals.family) {
        return apply([
          { verb: Verb.VERB_DELETE, object: { $case: 'flush', value: { what: Flush_What.ROUTES, device } } },
        ]);
      }
      return async (context) => {
        const rows = await context.client.list(Table.TABLE_ROUTES, 'route', { device });
        const chosen = rows.filter(inFamily(globals.family)).filter(({ origin }) => origin !== 'auto');
        await apply(chosen.map((value) => ({ verb: Verb.VERB_DELETE, object: { $case: 'route', value } })))(
          context,
        );
      };
    }
    const gateway = given.address('via') ?? Buffer.alloc(0);
    const source = given.address('src') ?? Buffer.alloc(0);
    const { address, length } = destination(
      given,
      globals.family ?? (gateway.length === 16 ? 'inet6' : 'inet'),
    );
    const ipv6 = address.length === 16;
    for (const other of [address, gateway, source]) checkFamily(globals.family, other);
    for (const other of [gateway, source]) {
      if (other.length > 0 && other.length !== address.length) {
        throw new UsageError(`${addressText(other)} is of another family than the destination`);
      }
    }
    if (command !== 'del' && gateway.length === 0 && device === '') {
      throw new UsageError("a route needs a gateway ('via ADDRESS') or a device ('dev DEVICE')");
    }
    const value = {
      destination: length === 0 ? Buffer.alloc(0) : masked(address, length),
      prefix: length,
      gateway,
      device,
      source,
      mtu: given.number('mtu', 65535) ?? 0,
      metric: given.number('metric') ?? 0,
      tos: given.number('tos', 255) ?? 0,
      scope: given.has('local') ? 'host' : (given.text('scope') ?? ''),
      // Elsewhere the destination tells the family.
      ipv6: ipv6 && length === 0,
    };
    return apply([{ verb: verbOf('a route', command), object: { $case: 'route', value } }]);
  },
};

function destination(given: Arguments, family: Family): Prefix {
  if (given.rest[0] === 'default') return { address: Buffer.alloc(family === 'inet6' ? 16 : 4), length: 0 };
  return given.prefix('route prefix');
}

/** The network of an address: bits beyond the prefix are 0. */
function masked(address: Buffer, length: number): Buffer {
  return Buffer.from(address.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, length - 8 * i)))));
}

function inFamily(family: Family | undefined): (row: Route) => boolean {
  return (row) => !family || (isIpv6(row) ? 'inet6' : 'inet') === family;
}

function isIpv6({ ipv6, destination, gateway }: Route): boolean {
  return ipv6 || destination.length === 16 || gateway.length === 16;
}

function orNone(address: Uint8Array, ipv6: boolean): string {
  return address.length === 0 ? (ipv6 ? '::' : '0.0.0.0') : addressText(address);
}

function scopeOf({ scope, gateway }: Route): string {
  return scope || (gateway.length > 0 ? 'global' : 'link');
}

function routeLine(row: Route): string {
  const ipv6 = isIpv6(row);
  return (
    `${ipv6 ? 'inet6' : 'inet'} ${orNone(row.destination, ipv6)}/${row.prefix} via ${orNone(row.gateway, ipv6)} ` +
    `src ${orNone(row.source, ipv6)} dev ${row.device} mtu ${row.mtu} tos ${row.tos} scope ${scopeOf(row)} ` +
    `metric ${row.metric} proto ${row.origin || 'static'} ${row.gateway.length === 0 ? 'onlink ' : ''}`
  );
}

function routeJson(row: Route): Record<string, unknown> {
  const ipv6 = isIpv6(row);
  return {
    family: ipv6 ? 'inet6' : 'inet',
    destination: orNone(row.destination, ipv6),
    prefix: row.prefix,
    gateway: row.gateway.length > 0 ? addressText(row.gateway) : null,
    source: row.source.length > 0 ? addressText(row.source) : null,
    device: row.device,
    mtu: row.mtu,
    tos: row.tos,
    metric: row.metric,
    scope: scopeOf(row),
    origin: row.origin || 'static',
  };
}
