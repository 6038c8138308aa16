import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Files of iproute2 that give names to numbers. */
export type NameFile = 'rt_tables' | 'rt_protos' | 'rt_scopes' | 'rt_realms' | 'rt_dsfield' | 'group';

/** What the C library and iproute2 know without any file. */
const builtIn: Record<NameFile, Record<string, number>> = {
  rt_tables: { default: 253, main: 254, local: 255 },
  rt_protos: {
    redirect: 1,
    kernel: 2,
    boot: 3,
    static: 4,
    gated: 8,
    ra: 9,
    mrt: 10,
    zebra: 11,
    bird: 12,
    dnrouted: 13,
    xorp: 14,
    ntk: 15,
    dhcp: 16,
    keepalived: 18,
    babel: 42,
    bgp: 186,
    isis: 187,
    ospf: 188,
    rip: 189,
    eigrp: 192,
  },
  rt_scopes: { global: 0, universe: 0, site: 200, link: 253, host: 254, nowhere: 255 },
  rt_realms: {},
  rt_dsfield: {},
  group: { default: 0 },
};

/** Folders of iproute2, later ones take precedence; `iproute_usr_dir` and `iproute_etc_dir` replace them. */
export interface NameFolders {
  usr: string;
  etc: string;
}

export const standardFolders: NameFolders = { usr: '/usr/share/iproute2', etc: '/etc/iproute2' };

/** Where names are looked up while a configuration is read. */
let folders: NameFolders = standardFolders;

/** Changes the folders; without argument the standard ones, as every reading begins. */
export function lookIn(other?: Partial<NameFolders>): void {
  folders = other ? { ...folders, ...other } : standardFolders;
}

const cache = new Map<string, Map<string, number>>();

function load(file: NameFile): Map<string, number> {
  const key = `${folders.usr}\n${folders.etc}\n${file}`;
  const known = cache.get(key);
  if (known) return known;
  const names = new Map(Object.entries(builtIn[file]));
  for (const folder of [folders.usr, folders.etc]) {
    const more = join(folder, `${file}.d`);
    const files = [
      join(folder, file),
      ...(existsSync(more) ? readdirSync(more).map((name) => join(more, name)) : []),
    ];
    for (const path of files) {
      if (!existsSync(path)) continue;
      for (const line of readFileSync(path, 'utf8').split('\n')) {
        const entry = /^\s*(0x[0-9a-fA-F]+|\d+)\s+([^\s#]+)/.exec(line);
        if (entry) names.set(entry[2] as string, Number(entry[1]));
      }
    }
  }
  cache.set(key, names);
  return names;
}

/**
 * The number of a name (or of a number as text, decimal, 0x or 0 octal).
 * @param max greatest number
 */
export function numberOf(file: NameFile, text: string, max: number): number | undefined {
  const number = /^(0[xX][0-9a-fA-F]+|[1-9]\d*|0)$/.test(text)
    ? Number(text)
    : /^0[0-7]+$/.test(text)
      ? Number.parseInt(text, 8)
      : load(file).get(text);
  return number !== undefined && number <= max ? number : undefined;
}
