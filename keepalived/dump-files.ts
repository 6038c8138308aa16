import { statSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import type { Global } from './model/global.js';
import { instanceName } from './names.js';
import type { DumpKind, SidecarName } from './sidecar.js';

/** Who a dump is about. */
export type DumpSource = SidecarName | 'parent';

const suffixes: Record<DumpSource, string> = {
  parent: '_parent',
  vrrp: '',
  healthcheck: '_check',
  bfd: '_bfd',
  'ospf-bridge': '_ospf',
};

/**
 * The file of a dump: `keepalived.data`, `keepalived_check.data`, `keepalived.stats`, `keepalived.json` ... in TMPDIR or /tmp, unless
 * `state_dump_file`, `stats_dump_file` or `json_dump_file` names a folder or a file (then the part's suffix goes before its ending).
 */
export function dumpFile(kind: DumpKind, source: DumpSource, global: Global): string {
  const ending = kind === 'data' ? '.data' : kind === 'json' ? '.json' : '.stats';
  const configured =
    kind === 'data' ? global.stateDumpFile : kind === 'json' ? global.jsonDumpFile : global.statsDumpFile;
  const instance = global.dataUseInstance ? instanceName(global, '_', '.') : '';
  const standard = `keepalived${suffixes[source]}${ending}${instance}`;
  if (configured === undefined) return join(process.env.TMPDIR || '/tmp', standard);
  if (configured.endsWith('/') || statSync(configured, { throwIfNoEntry: false })?.isDirectory()) {
    return join(configured, standard);
  }
  const end = extname(configured);
  const stem = end ? configured.slice(0, -end.length) : configured;
  return join(
    dirname(configured),
    `${stem.slice(dirname(configured).length).replace(/^\//, '')}${suffixes[source]}${end}${instance}`,
  );
}
