import { hostname } from 'node:os';
import { interfaceIndex } from '../lib/libc.js';
import { root } from './blocks/root.js';
import { emptyDraft } from './draft.js';
import { Diagnostics } from './grammar/diagnostics.js';
import { Line, readStatements, type Subsystem } from './grammar/keyword.js';
import { Reader } from './grammar/reader.js';
import { lookIn } from './lines/names.js';
import type { Dialect, IncludeChecks } from './model/global.js';
import type { Model } from './model/index.js';
import { resolveBfd } from './resolve/bfd.js';
import { LoadBalancingResolver } from './resolve/load-balancing.js';
import { checkScripts, machineProbe, type ScriptProbe } from './resolve/scripts.js';
import { VrrpResolver } from './resolve/vrrp.js';

export interface ParseOptions {
  /** `-i`; default the host's name up to the first dot. */
  configId?: string;
  /** Text instead of the file's content; the file's name is for messages and relative includes. */
  text?: string;
  /** `-e`: include lines and the file itself must be in order. */
  checkIncludes?: boolean;
  /** Forces a dialect, whatever the file says. */
  dialect?: Dialect;
  /** Parts that are not to run: their blocks are skipped. */
  off?: Iterable<Subsystem>;
  interfaceExists?: (name: string) => boolean;
  scripts?: ScriptProbe;
  hostname?: string;
}

export interface Parsed {
  model: Model;
  diagnostics: Diagnostics;
  /** All files that were read. */
  files: string[];
  /** The main file could be read. */
  found: boolean;
  /** It has not one character. */
  empty: boolean;
}

/**
 * Reads and checks a configuration: text, tree of blocks, typed model. Never throws on the content: everything that is wrong is
 * in the diagnostics, and the model holds what could be understood.
 */
export function parse(file: string, options: ParseOptions = {}): Parsed {
  const name = options.hostname ?? hostname();
  const diagnostics = new Diagnostics();
  const checks = options.checkIncludes ?? false;
  const includeChecks: IncludeChecks = {
    read: checks,
    match: checks,
    wildcardMatch: checks,
    braceMatch: checks,
  };
  const reader = new Reader(
    {
      configId: options.configId ?? (name.split('.')[0] as string),
      includeChecks,
      dialect: options.dialect ?? 'auto',
    },
    diagnostics,
  );
  lookIn();
  const draft = emptyDraft();
  const found = reader.open(file, options.text);
  const empty = found && reader.blank;
  const exists = options.interfaceExists ?? ((name: string) => interfaceIndex(name) !== 0);
  const line = new Line(reader, new Set(options.off ?? []), exists);
  if (found) readStatements(line, root, draft, true);
  if (options.dialect) draft.global.dialect = options.dialect;
  draft.global.includeCheck = { ...reader.includeChecks };
  diagnostics.place = () => undefined;

  const { engine: _engine, ...global } = draft.global;
  const vrrp = new VrrpResolver(draft, diagnostics, {
    hostname: name,
    interfaceExists: exists,
  });
  const model: Model = {
    global,
    loadBalancing: new LoadBalancingResolver(draft, diagnostics).resolve(),
    vrrp: vrrp.resolve(),
    bfd: resolveBfd(draft, diagnostics),
    ...(draft.ospfBridge ? { ospfBridge: draft.ospfBridge } : {}),
  };
  checkScripts(model, diagnostics, {
    probe: options.scripts ?? machineProbe,
    interfacesMissing: vrrp.missingInterfaces > 0,
  });
  return { model, diagnostics, files: reader.files, found, empty };
}
