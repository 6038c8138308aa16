import { type MulticastRow, Table } from '../../dpvsd/generated/control.js';
import { formatMac } from '../address.js';
import { UsageError } from '../usage.js';
import type { DpipObject } from './object.js';
import { Arguments } from './words.js';

/** Multicast groups that the ports listen to: `dpip maddr`. */
export const maddr: DpipObject = {
  name: 'maddr',
  usage: '    dpip [-v] maddr show [dev DEVICE]',

  parse(command, words, globals) {
    if (command !== 'show') throw new UsageError(`multicast addresses cannot be told to '${command}'`);
    const device = new Arguments(words, ['dev'], [], 0).text('dev') ?? '';
    return async ({ client, output }) => {
      const [links, rows] = await Promise.all([
        client.list(Table.TABLE_LINKS, 'link', { device }),
        client.list(Table.TABLE_MULTICAST, 'multicast', { device }),
      ]);
      if (globals.json) {
        output.json(
          links.map((link) => ({
            device: link.device,
            groups: rows
              .filter((row) => row.device === link.device)
              .map(({ address, references }) => ({ mac: formatMac(address), references })),
          })),
        );
        return;
      }
      for (const link of links) {
        output.line(device === '' ? `${link.index}:\t${link.device}` : `${link.device}:`);
        for (const row of rows) if (row.device === link.device) output.line(groupLine(row, globals.verbose));
      }
    };
  },
};

function groupLine({ address, references }: MulticastRow, verbose: boolean): string {
  return verbose ? `\tlink  ${formatMac(address)}\t\trefcnt ${references}` : `\tlink ${formatMac(address)}`;
}
