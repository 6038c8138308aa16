import { Flush_What, type Neighbour, Table, Verb } from '../../dpvsd/generated/control.js';
import { addressBytes, addressText, formatMac, parseMac } from '../address.js';
import { UsageError } from '../usage.js';
import { apply, type DpipObject, verbOf } from './object.js';
import { Arguments, checkFamily, familyOf } from './words.js';

/** Neighbours, ARP's and ND's: `dpip neigh`. */
export const neigh: DpipObject = {
  name: 'neigh',
  usage: `\
    dpip [-4|-6] neigh show [dev DEVICE]
    dpip neigh {add|set|replace} ADDRESS lladdr MAC dev DEVICE
    dpip neigh del ADDRESS [lladdr MAC] dev DEVICE
    dpip neigh flush [dev DEVICE]`,

  parse(command, words, globals) {
    if (command === 'show') {
      const device = new Arguments(words, ['dev'], [], 0).text('dev') ?? '';
      return async ({ client, output }) => {
        const rows = (await client.list(Table.TABLE_NEIGHBOURS, 'neighbour', { device })).filter(
          ({ address }) => !globals.family || familyOf(address) === globals.family,
        );
        if (globals.json) output.json(rows.map(neighbourJson));
        else for (const row of rows) output.line(neighbourLine(row));
      };
    }
    if (command === 'flush') {
      const device = new Arguments(words, ['dev'], [], 0).text('dev') ?? '';
      return apply([
        {
          verb: Verb.VERB_DELETE,
          object: { $case: 'flush', value: { what: Flush_What.NEIGHBOURS, device } },
        },
      ]);
    }
    const given = new Arguments(words, ['dev', 'lladdr']);
    const [word] = given.rest;
    if (word === undefined) throw new UsageError('the address of the neighbour is missing');
    const address = addressBytes(word);
    if (!address) throw new UsageError(`'${word}' is no address`);
    checkFamily(globals.family, address);
    const text = given.text('lladdr');
    const mac = text === undefined ? Buffer.alloc(0) : parseMac(text);
    if (!mac || (mac.length > 0 && !isKnown(mac))) {
      throw new UsageError(`'${text}' is no MAC address (00:1b:21:aa:bb:cc)`);
    }
    if (command !== 'del' && mac.length === 0)
      throw new UsageError("the MAC address is missing: 'lladdr MAC'");
    const value = { address, device: given.device(), mac };
    return apply([{ verb: verbOf('a neighbour', command), object: { $case: 'neighbour', value } }]);
  },
};

function isKnown(mac: Uint8Array): boolean {
  return mac.some((byte) => byte !== 0);
}

function neighbourLine({ address, device, mac, state, worker, queued }: Neighbour): string {
  const end = `dev: ${device}  core: ${worker}  ${state === 'permanent' ? 'static' : ''}${queued > 0 ? `queued: ${queued}` : ''}`;
  const ip = `ip: ${addressText(address).padEnd(48)}`;
  const shown = state.toUpperCase().padEnd(12);
  // Columns and the odd spelling are those of DPVS, whose output scripts match.
  if (!isKnown(mac)) return `${ip} mac:incomplate                       state: ${shown}   ${end}`;
  return `${ip} mac: ${formatMac(mac)}   state: ${shown}  ${end}`;
}

function neighbourJson({ address, device, mac, state, worker, queued }: Neighbour): Record<string, unknown> {
  return {
    family: familyOf(address),
    address: addressText(address),
    device,
    mac: isKnown(mac) ? formatMac(mac) : null,
    state,
    worker,
    queued,
  };
}
