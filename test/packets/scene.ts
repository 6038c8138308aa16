/**
 * What a fixture file says: a director, and the packets that pass through it in order. The text is what the runner
 * (fixtures.c) reads and what people read; README.md describes it.
 */

/** What must become of a packet. */
export type Fate =
  | { verdict: 'forward'; port: number; mac: string; bytes: Uint8Array; oversize?: boolean }
  | { verdict: 'unresolved'; port: number; address: string; bytes: Uint8Array }
  | { verdict: 'drop'; reason: string }
  | { verdict: 'kernel'; port: number; bytes: Uint8Array }
  | { verdict: 'master' }
  | { verdict: 'reassemble' };

export interface Step {
  name: string;
  /** One sentence. */
  says: string;
  /** Seconds that pass before. */
  wait?: number;
  in: {
    port: number;
    bytes: Uint8Array;
    /** Came to a broadcast or multicast MAC address. */
    broadcast?: boolean;
    /** Link protocol, where it is not what the first byte says. */
    family?: 4 | 6;
    /** So many bytes are contiguous in the buffer; the others are in further segments, out of sight. */
    contiguous?: number;
  };
  fate: Fate;
  /** An ICMP error or a reset that the director sends. */
  error?: Uint8Array;
  /** Counters that change, by name; all others must not. `drop.REASON` follows from the fate. */
  counters?: Record<string, number>;
}

export interface Scene {
  /** Of the file, without extension. */
  name: string;
  /** What the scene shows. */
  about: string;
  /** Lines for the runner. */
  setup: string[];
  steps: Step[];
}

function hex(bytes: Uint8Array): string[] {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.slice(at, at + 16)].map((byte) => byte.toString(16).padStart(2, '0'));
    lines.push(`${at.toString(16).padStart(4, '0')}  ${row.join(' ')}`);
  }
  return lines;
}

function fateLine(fate: Fate): string {
  switch (fate.verdict) {
    case 'forward':
      return `forward ${fate.port} ${fate.mac}${fate.oversize ? ' oversize' : ''}`;
    case 'unresolved':
      return `unresolved ${fate.port} ${fate.address}`;
    case 'drop':
      return `drop ${fate.reason}`;
    case 'kernel':
      return `kernel ${fate.port}`;
    default:
      return fate.verdict;
  }
}

function stepLines(step: Step): string[] {
  const { port, bytes, broadcast, family, contiguous } = step.in;
  const input = [`in ${port}`];
  if (broadcast) input.push('broadcast');
  if (family !== undefined) input.push(`family ${family}`);
  if (contiguous !== undefined) input.push(`contiguous ${contiguous}`);
  const counters = Object.entries(step.counters ?? {});
  if (step.fate.verdict === 'drop') counters.push([`drop.${step.fate.reason}`, 1]);
  if (step.error) counters.push(['originated', 1]);
  return [
    '',
    `step ${step.name}`,
    `says ${step.says}`,
    ...(step.wait ? [`wait ${step.wait}`] : []),
    input.join(' '),
    ...hex(bytes),
    fateLine(step.fate),
    ...('bytes' in step.fate ? hex(step.fate.bytes) : []),
    ...(step.error ? ['error', ...hex(step.error)] : []),
    ...counters.map(([name, by]) => `counter ${name} ${by > 0 ? '+' : ''}${by}`),
  ];
}

export function sceneText(scene: Scene): string {
  return [`# ${scene.about}`, ...scene.setup, ...scene.steps.flatMap(stepLines), ''].join('\n');
}
