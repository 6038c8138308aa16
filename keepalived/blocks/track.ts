import type { BfdDraft, ScriptDraft, TrackFileDraft, TrackProcessDraft, Tracks } from '../draft.js';
import { type Keyword, type Line, list, type Spec, storing, table, value } from '../grammar/keyword.js';
import {
  address,
  bool,
  existing,
  flag,
  ip,
  owner,
  script,
  seconds,
  signed,
  timer,
  uint,
  word,
  words,
} from '../grammar/shapes.js';
import type { TrackReference } from '../model/vrrp.js';

const LARGEST_INT = 2147483647;

/** `N [reverse|noreverse]`, clamped where keepalived clamps. */
export function readWeight(
  given: readonly (string | undefined)[],
  limit: number,
  line: Line,
): { weight?: number; reverse?: boolean } {
  const [text, sense] = given;
  if (text === undefined) {
    line.report('error', `'${line.keyword}': weight without a number`);
    return {};
  }
  const read = signed(text, -limit, limit, line);
  const made: { weight?: number; reverse?: boolean } = read === undefined ? {} : { weight: read };
  if (sense === 'reverse') made.reverse = true;
  else if (sense === 'noreverse') made.reverse = false;
  else if (sense !== undefined)
    line.report('error', `'${line.keyword}': unknown word '${sense}' behind the weight`);
  return made;
}

/** One line of a track_* block: `NAME [weight W [reverse|noreverse]]`. */
function reference(line: Line, block: string, limit: number): TrackReference | undefined {
  const [name = '', weight, ...rest] = line.words;
  line.words = [block, ...line.words];
  if (weight === undefined) return { name };
  if (weight !== 'weight') {
    line.report('error', `'${block}': unknown word '${weight}' behind '${name}'`);
    return { name };
  }
  const made: TrackReference = { name, ...readWeight(rest, limit, line) };
  if (made.weight !== undefined && Math.abs(made.weight) > 253) {
    line.report('error', `'${block}': the weight ${made.weight} of '${name}' is limited to 253`);
    made.weight = Math.sign(made.weight) * 253;
  }
  return made;
}

/** track_interface, track_script, track_file, track_process, track_bfd of instances and groups. */
export function trackKeywords<T extends Tracks>(): Keyword<T>[] {
  const lists: [name: string, key: keyof Tracks, entry: string][] = [
    ['track_interface', 'trackInterfaces', 'IF [weight -254..254 [reverse|noreverse]]'],
    ['track_script', 'trackScripts', 'NAME [weight -254..254 [reverse|noreverse]]'],
    ['track_file', 'trackFiles', 'NAME [weight -254..254 [reverse|noreverse]]'],
    ['track_process', 'trackProcesses', 'NAME [weight -254..254 [reverse|noreverse]]'],
    ['track_bfd', 'trackBfd', 'NAME [weight -253..253 [reverse|noreverse]]'],
  ];
  return lists.map(([name, key, entry]) =>
    list<T>(name, entry, {
      each(target, line) {
        const made = reference(line, name, 254);
        if (!made) return;
        if (target[key].some((other) => other.name === made.name)) {
          line.report('error', `'${name}': '${made.name}' is there twice, the first one stays`);
          return;
        }
        target[key].push(made);
      },
    }),
  );
}

/** A script's interval: whole seconds in 2.2, milliseconds later; 0 means 1 s. */
const interval = timer(0, 4294967, 3);

export const vrrpScript = table<ScriptDraft>(
  'vrrp_script',
  [
    value('script', script, (target, read) => {
      target.script = read;
    }),
    value(
      'interval',
      interval,
      (target, time) => {
        target.interval = time || 1000;
      },
      { default: '1 s' },
    ),
    value(
      'timeout',
      interval,
      (target, time) => {
        if (time > 0) target.timeout = time;
      },
      { default: 'interval' },
    ),
    value(
      'weight',
      words('-253..253 [reverse]', 1),
      (target, given, line) => {
        Object.assign(target, readWeight(given, 253, line));
      },
      { default: '0' },
    ),
    value(
      'rise',
      uint(1, LARGEST_INT),
      (target, count) => {
        target.rise = count;
      },
      { default: '1' },
    ),
    value(
      'fall',
      uint(1, LARGEST_INT),
      (target, count) => {
        target.fall = count;
      },
      { default: '1' },
    ),
    value('user', words('user [[:]group]', 1), (target, given, line) => {
      target.owner = existing(owner(given), line);
    }),
    value('init_fail', flag, (target) => {
      target.initFail = true;
    }),
  ],
  { lax: ['script'] },
);

export const trackProcess = table<TrackProcessDraft>(
  'vrrp_track_process',
  [
    value('process', words('COMMAND [ARGUMENT ...]', 1), (target, given) => {
      target.argv = given;
    }),
    value('param_match', words('[initial|partial]', 0), (target, [how], line) => {
      if (how === undefined) target.parameterMatch = 'exact';
      else if (how === 'initial' || how === 'partial') target.parameterMatch = how;
      else line.report('error', `'param_match': '${how}' is neither initial nor partial`);
    }),
    value(
      'weight',
      words('-254..254 [reverse]', 1),
      (target, given, line) => {
        Object.assign(target, readWeight(given, 254, line));
      },
      { default: '0' },
    ),
    value(
      'quorum',
      uint(1, 65535),
      (target, count) => {
        target.quorum = count;
      },
      { default: '1' },
    ),
    value(
      'quorum_max',
      uint(0, 65535),
      (target, count) => {
        target.quorumMax = count;
      },
      { default: 'unlimited' },
    ),
    value('delay', timer(0.000001, 3600), (target, time) => {
      target.forkDelay = time;
      target.terminateDelay = time;
    }),
    value('terminate_delay', timer(0.000001, 3600), (target, time) => {
      target.terminateDelay = time;
    }),
    value('fork_delay', timer(0.000001, 3600), (target, time) => {
      target.forkDelay = time;
    }),
    value('full_command', flag, (target) => {
      target.fullCommand = true;
    }),
  ],
  { tolerant: ['weight'], once: ['process', 'weight'] },
);

export const trackFile = table<TrackFileDraft>(
  'track_file',
  [
    value('file', word, (target, path) => {
      target.path = path;
    }),
    value(
      'weight',
      words('-254..254 [reverse]', 1),
      (target, given, line) => {
        Object.assign(target, readWeight(given, 254, line));
      },
      { default: '1' },
    ),
    value('init_file', words('[INTEGER] [overwrite]', 0), (target, given, line) => {
      const init = { value: 0, overwrite: false };
      for (const text of given) {
        if (text === 'overwrite') init.overwrite = true;
        else {
          const read = signed(text, -2147483648, LARGEST_INT, line);
          if (read !== undefined) init.value = read;
        }
      }
      target.init = init;
    }),
  ],
  { tolerant: ['file', 'weight'], once: ['file', 'weight'] },
);

/** Milliseconds with three decimal places. */
function milliseconds(min: number): { text: string; least: number; read(line: Line): number | undefined } {
  return {
    text: `${min}..4294967 ms`,
    least: 1,
    read: (line) => {
      const read = seconds(line.words[1] as string, min, 4294967, line, 3);
      return read === undefined ? undefined : read / 1000;
    },
  };
}

const U: Spec = { in: 'upstream' };

const setBfd = storing<BfdDraft>();

export const bfdInstance = table<BfdDraft>('bfd_instance', [
  value('source_ip', ip, (target, read) => {
    target.sourceIp = read;
  }),
  ...(['neighbor_ip', 'neighbour_ip'] as const).map((name) =>
    value<BfdDraft, string>(
      name,
      { text: 'IP', least: 1, read: (line) => address(line.words[1] as string, line) },
      setBfd('neighbourIp'),
      name === 'neighbor_ip' ? {} : { alias: 'neighbor_ip' },
    ),
  ),
  value('min_rx', milliseconds(1), setBfd('minRx'), { default: '10 ms' }),
  value('min_tx', milliseconds(1), setBfd('minTx'), { default: '10 ms' }),
  value('idle_tx', milliseconds(1000), setBfd('idleTx'), { default: '1000 ms' }),
  value('multiplier', uint(1, 255), setBfd('multiplier'), { default: '5' }),
  value('passive', flag, setBfd('passive')),
  value('ttl', uint(1, 255), setBfd('ttl'), { default: '255 (IPv6: 64)' }),
  value('hoplimit', uint(1, 255), setBfd('ttl'), { alias: 'ttl' }),
  value(
    'max_hops',
    { text: '-1..255', least: 1, read: (line) => signed(line.words[1] as string, -1, 255, line) },
    setBfd('maxHops'),
    { default: '0' },
  ),
  value('multihop', bool, setBfd('multihop'), U),
  value(
    'weight',
    words('-253..253 [reverse]', 1),
    (target, given, line) => {
      Object.assign(target, readWeight(given, 253, line));
    },
    { default: '0' },
  ),
  value('vrrp', flag, setBfd('vrrp')),
  value('checker', flag, setBfd('checker')),
]);
