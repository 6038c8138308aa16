import { type Flow, Flush_What, Table, Verb } from '../../dpvsd/generated/control.js';
import { addressBytes, addressText } from '../address.js';
import { UsageError } from '../usage.js';
import { apply, type DpipObject, verbOf } from './object.js';
import { Arguments } from './words.js';

/** Addresses whose packets a port hands to its twin in the kernel: `dpip flow`. */
export const flow: DpipObject = {
  name: 'flow',
  usage: `\
    dpip flow {add|del} type kni dev DEVICE ADDRESS
    dpip flow {show|flush} type kni [dev DEVICE]`,

  parse(command, words, globals) {
    const given = new Arguments(words, ['type', 'dev']);
    const type = given.text('type');
    if (type !== 'kni') {
      throw new UsageError(
        type === undefined ? "the type is missing: 'type kni'" : `flows of type '${type}' do not exist`,
      );
    }
    if (command === 'show' || command === 'flush') {
      if (given.rest.length > 0) throw new UsageError(`unexpected '${given.rest[0]}'`);
      const device = given.text('dev') ?? '';
      if (command === 'flush') {
        return apply([
          { verb: Verb.VERB_DELETE, object: { $case: 'flush', value: { what: Flush_What.FLOWS, device } } },
        ]);
      }
      return async ({ client, output }) => {
        const rows = await client.list(Table.TABLE_FLOWS, 'flow', { device });
        if (globals.json) {
          output.json(rows.map((row) => ({ ...row, address: addressText(row.address) })));
          return;
        }
        for (const row of rows) output.line(flowLine(row, globals.verbose));
      };
    }
    const [word] = given.rest;
    const address = word === undefined ? undefined : addressBytes(word);
    if (!address)
      throw new UsageError(word === undefined ? 'the address is missing' : `'${word}' is no address`);
    const value = { device: given.device(), address };
    return apply([{ verb: verbOf('a flow', command), object: { $case: 'flow', value } }]);
  },
};

function flowLine({ address, device, hardware }: Flow, verbose: boolean): string {
  return `kni addr flow ${addressText(address)} dev ${device}${verbose ? ` ${hardware ? 'hardware' : 'software'}` : ''}`;
}
