import { Table } from '../../dpvsd/generated/control.js';
import { UsageError } from '../usage.js';
import type { DpipObject } from './object.js';
import { Arguments } from './words.js';

/** Memory of the dataplane, its pools and heaps: `dpip eal-mem`. */
export const ealMem: DpipObject = {
  name: 'eal-mem',
  usage: `\
    dpip eal-mem show [pool | seg]
  pool: what is counted in objects; seg: what is counted in bytes; neither: all`,

  parse(command, words, globals) {
    if (command !== 'show') throw new UsageError(`memory cannot be told to '${command}'`);
    const [kind] = new Arguments(words, [], [], 1).rest;
    if (kind === 'ring' || kind === 'zone') throw new UsageError(`this dataplane does not tell its ${kind}s`);
    if (kind !== undefined && kind !== 'pool' && kind !== 'seg')
      throw new UsageError(`'${kind}' is no kind of memory`);
    return async ({ client, output }) => {
      const rows = (await client.list(Table.TABLE_MEMORY, 'memory')).filter(
        ({ unit }) => kind === undefined || (unit === 'bytes') === (kind === 'seg'),
      );
      if (globals.json) {
        output.json(rows);
        return;
      }
      const line = (...columns: string[]) => {
        const [name = '', size = '', used = '', free = '', unit = ''] = columns;
        output.line(
          `${name.padEnd(24)} ${size.padStart(16)} ${used.padStart(16)} ${free.padStart(16)} ${unit}`,
        );
      };
      line('name', 'size', 'used', 'free', 'unit');
      for (const { name, size, used, unit } of rows) line(name, `${size}`, `${used}`, `${size - used}`, unit);
    };
  },
};
