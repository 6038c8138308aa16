import type { Draft, GlobalDraft } from '../draft.js';
import { block, type Keyword, list, table, value } from '../grammar/keyword.js';
import { timer, word } from '../grammar/shapes.js';
import type { GarpGroup } from '../model/vrrp.js';
import { globalDefs, rootGlobals } from './global-defs.js';
import { ospfBridge } from './ospf-bridge.js';
import { bfdInstance, trackFile, trackProcess, vrrpScript } from './track.js';
import { loadBalancingKeywords } from './virtual-server.js';
import { routes, rules, staticAddresses, vrrpInstance, vrrpSyncGroup } from './vrrp-instance.js';

/** A root keyword that fills the global part. */
function ofGlobal(keyword: Keyword<GlobalDraft>): Keyword<Draft> {
  return { ...keyword, read: (draft, line) => keyword.read(draft.global, line) };
}

const garpGroup = table<GarpGroup>('garp_group', [
  value('garp_interval', timer(0, 2147.483647), (target, time) => {
    target.garpInterval = time;
  }),
  value('gna_interval', timer(0, 2147.483647), (target, time) => {
    target.gnaInterval = time;
  }),
  value('interface', word, (target, name) => {
    target.interfaces.push(name);
  }),
  list('interfaces', 'IF', {
    several: true,
    notEmpty: true,
    each: (target, line) => target.interfaces.push(line.keyword),
  }),
]);

/** Named objects of which there may be one of each name. */
function named<T extends { name: string }>(
  name: string,
  of: (draft: Draft) => T[],
  made: (name: string, place: { file: string; line: number }) => T,
  keywords: ReturnType<typeof table<T>>,
  form: { subsystem?: 'vrrp' | 'bfd'; spec?: Parameters<typeof block>[2]; longest?: number } = {},
): Keyword<Draft> {
  return block(
    name,
    {
      args: 'NAME',
      least: 1,
      table: keywords,
      ...(form.subsystem ? { subsystem: form.subsystem } : {}),
      begin(draft: Draft, line) {
        const given = line.words[1] as string;
        if (form.longest !== undefined && given.length > form.longest) {
          line.report(
            'error',
            `${name} '${given}': the name is longer than ${form.longest} characters, left out`,
          );
          return undefined;
        }
        if (of(draft).some((other) => other.name === given)) {
          line.report('error', `${name} '${given}' is there twice, the first one stays`);
          return undefined;
        }
        const draftOf = made(given, line.reader.place);
        of(draft).push(draftOf);
        return draftOf;
      },
    },
    form.spec,
  );
}

const tracks = () => ({
  trackInterfaces: [],
  trackScripts: [],
  trackFiles: [],
  trackProcesses: [],
  trackBfd: [],
});

/** Everything that may stand at root level. */
export const root = table<Draft>(
  'the configuration',
  [
    ofGlobal(
      block<GlobalDraft, GlobalDraft>('global_defs', {
        table: globalDefs,
        begin: (global) => global,
      }),
    ),
    ...rootGlobals.map(ofGlobal),
    ...loadBalancingKeywords,
    named(
      'track_group',
      (draft) => draft.trackGroups,
      (name, place) => ({ name, place, instances: [] as string[] }),
      table<Draft['trackGroups'][number]>('track_group', [
        list('group', 'INSTANCE', {
          several: true,
          each: (target, line) => target.instances.push(line.keyword),
        }),
      ]),
      { subsystem: 'vrrp' },
    ),
    staticAddresses('static_ipaddress', (draft: Draft) => draft.staticAddresses),
    routes('static_routes', (draft: Draft) => draft.staticRoutes),
    rules('static_rules', (draft: Draft) => draft.staticRules),
    named(
      'vrrp_sync_group',
      (draft) => draft.syncGroups,
      (name, place) => ({ name, place, members: [], notify: {}, ...tracks() }),
      vrrpSyncGroup,
      { subsystem: 'vrrp' },
    ),
    block('garp_group', {
      table: garpGroup,
      subsystem: 'vrrp',
      begin(draft: Draft) {
        const made: GarpGroup = { interfaces: [] };
        draft.garpGroups.push(made);
        return made;
      },
    }),
    named(
      'vrrp_instance',
      (draft) => draft.instances,
      (name, place) => ({
        name,
        place,
        virtualAddresses: [],
        excludedAddresses: [],
        virtualRoutes: [],
        virtualRules: [],
        garp: {},
        notify: {},
        ...tracks(),
      }),
      vrrpInstance,
      { subsystem: 'vrrp' },
    ),
    named(
      'vrrp_script',
      (draft) => draft.scripts,
      (name, place) => ({ name, place }),
      vrrpScript,
      { subsystem: 'vrrp' },
    ),
    named(
      'vrrp_track_process',
      (draft) => draft.trackProcesses,
      (name, place) => ({ name, place }),
      trackProcess,
      {
        subsystem: 'vrrp',
      },
    ),
    named(
      'track_file',
      (draft) => draft.trackFiles,
      (name, place) => ({ name, place }),
      trackFile,
      {
        spec: { in: 'upstream' },
      },
    ),
    named(
      'vrrp_track_file',
      (draft) => draft.trackFiles,
      (name, place) => ({ name, place }),
      trackFile,
      {
        spec: { alias: 'track_file' },
      },
    ),
    named(
      'bfd_instance',
      (draft) => draft.bfdInstances,
      (name, place) => ({ name, place }),
      bfdInstance,
      { longest: 31 },
    ),
    ospfBridge,
  ],
  {
    tolerant: ['net_namespace', 'instance', 'track_group', 'vrrp_sync_group', 'vrrp_instance'],
    once: ['net_namespace_ipvs', 'instance'],
  },
);
