import { type AddressRow, Flush_What, Table, Verb } from '../../dpvsd/generated/control.js';
import { addressText } from '../address.js';
import { apply, type DpipObject, verbOf } from './object.js';
import { Arguments, checkFamily, type Family, familyOf } from './words.js';

/** Addresses of the dataplane's ports: `dpip addr`. */
export const addr: DpipObject = {
  name: 'addr',
  usage: `\
    dpip [-4|-6] addr show [dev DEVICE]
    dpip addr {add|set|replace} PREFIX dev DEVICE [broadcast ADDRESS] [scope SCOPE]
              [valid_lft TIME] [preferred_lft TIME] [sapool]
    dpip addr del PREFIX dev DEVICE
    dpip [-4|-6] addr flush dev DEVICE
  PREFIX := ADDRESS[/LENGTH]   SCOPE := host | link | global   TIME := forever | SECONDS
  sapool: the address gives its ports to FullNAT and SNAT`,

  parse(command, words, globals) {
    if (command === 'show') {
      const device = new Arguments(words, ['dev'], [], 0).text('dev') ?? '';
      return async ({ client, output }) => {
        const rows = (await client.list(Table.TABLE_ADDRESSES, 'address', { device })).filter(
          inFamily(globals.family),
        );
        if (globals.json) output.json(rows.map(addressJson));
        else for (const row of rows) output.line(addressLines(row));
      };
    }
    if (command === 'flush') {
      const device = new Arguments(words, ['dev'], [], 0).device();
      if (!globals.family) {
        return apply([
          {
            verb: Verb.VERB_DELETE,
            object: { $case: 'flush', value: { what: Flush_What.ADDRESSES, device } },
          },
        ]);
      }
      return async (context) => {
        const [rows, locals] = await Promise.all([
          context.client.list(Table.TABLE_ADDRESSES, 'address', { device }),
          context.client.list(Table.TABLE_LOCAL_ADDRESSES, 'localAddress', { device }),
        ]);
        // As in a flush of both families: local addresses go with their services.
        const kept = new Set(locals.map(({ local }) => addressText(local?.address ?? Buffer.alloc(0))));
        const chosen = rows.filter(inFamily(globals.family)).flatMap(({ address }) => address ?? []);
        await apply(
          chosen
            .filter(({ address }) => !kept.has(addressText(address)))
            .map((value) => ({ verb: Verb.VERB_DELETE, object: { $case: 'address', value } })),
        )(context);
      };
    }
    const given = new Arguments(
      words,
      ['dev', 'broadcast', 'scope', 'valid_lft', 'preferred_lft', 'prefered_lft'],
      ['sapool'],
    );
    const { address, length } = given.prefix('address');
    checkFamily(globals.family, address);
    const lifetime = (keyword: string) =>
      given.text(keyword) === 'forever' ? 0 : (given.number(keyword) ?? undefined);
    const value = {
      address,
      prefix: length,
      device: given.device(),
      broadcast: given.address('broadcast') ?? Buffer.alloc(0),
      scope: given.text('scope') ?? '',
      validLifetime: lifetime('valid_lft') ?? 0,
      preferredLifetime: lifetime('preferred_lft') ?? lifetime('prefered_lft') ?? 0,
      sapool: given.has('sapool'),
    };
    return apply([{ verb: verbOf('an address', command), object: { $case: 'address', value } }]);
  },
};

function inFamily(family: Family | undefined): (row: AddressRow) => boolean {
  return ({ address }) => !family || familyOf(address?.address ?? Buffer.alloc(4)) === family;
}

const lifetimeText = (seconds: number): string => (seconds === 0 ? 'forever' : String(seconds));

/** Two lines, the second one indented by four blanks and a broadcast address, which is usually none. */
function addressLines({ address, portsUsed, portsFree, portsMissed }: AddressRow): string {
  if (!address) return '';
  const broadcast = address.broadcast.length > 0 ? `broadcast ${addressText(address.broadcast)}` : '';
  const ports = address.sapool ? ` sa_used ${portsUsed} sa_free ${portsFree} sa_miss ${portsMissed}` : '';
  const scope = address.scope || 'global';
  return (
    `${familyOf(address.address)} ${addressText(address.address)}/${address.prefix} scope ${scope} ${address.device}\n` +
    `    ${broadcast} valid_lft ${lifetimeText(address.validLifetime)} preferred_lft ${lifetimeText(address.preferredLifetime)}${ports}`
  );
}

function addressJson({ address, ...ports }: AddressRow): Record<string, unknown> {
  if (!address) return {};
  return {
    family: familyOf(address.address),
    address: addressText(address.address),
    prefix: address.prefix,
    device: address.device,
    broadcast: address.broadcast.length > 0 ? addressText(address.broadcast) : null,
    scope: address.scope || 'global',
    validLifetime: address.validLifetime || null,
    preferredLifetime: address.preferredLifetime || null,
    sapool: address.sapool,
    owner: address.owner,
    ...(address.sapool ? ports : {}),
  };
}
