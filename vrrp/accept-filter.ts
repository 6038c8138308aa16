import { spawnSync } from 'node:child_process';
import type { Firewall } from '../keepalived/model/vrrp.js';
import type { Log } from '../lib/log.js';

/** Neighbour discovery must reach the addresses even when nothing else may (RFC 9568 6.4.3). */
const NEIGHBOUR_TYPES = ['neighbour-solicitation', 'neighbour-advertisement'];

/**
 * Keeps packets from the addresses of instances in no-accept mode (RFC 9568 6.1, Accept_Mode false): a master that does not own
 * the addresses forwards for them and answers neither ping nor TCP. The rules stay for the life of the process: while the node
 * is backup it has none of the addresses.
 */
export class AcceptFilter {
  readonly #log: Log;
  #firewall: Firewall | undefined;
  #refused: string[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  /** The addresses to refuse from now on. */
  configure(firewall: Firewall, refused: readonly string[]): void {
    const wanted = [...new Set(refused)].sort();
    if (this.#firewall && wanted.join() === this.#refused.join()) return;
    // Nothing was refused and nothing is to be: no firewall is needed at all.
    const idle = !this.#firewall && wanted.length === 0;
    if (!idle) this.#apply(firewall, wanted);
    if (!idle) this.#firewall = firewall;
    this.#refused = wanted;
  }

  close(): void {
    if (this.#firewall) this.#apply(this.#firewall, []);
    this.#firewall = undefined;
  }

  #apply(firewall: Firewall, refused: readonly string[]): void {
    const problem =
      firewall.kind === 'iptables' ? this.#iptables(firewall, refused) : this.#nftables(firewall, refused);
    if (problem === undefined) return;
    this.#log.error(
      `no_accept: packets to ${refused.length} addresses are not refused: ${problem}; install nftables or iptables`,
    );
  }

  /** One atomic replacement of our table. @returns why it failed */
  #nftables(firewall: Firewall, refused: readonly string[]): string | undefined {
    const done = spawnSync('nft', ['-f', '-'], { input: nftScript(firewall, refused), encoding: 'utf8' });
    if (done.status === 0) return undefined;
    const missing = (done.error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
    return missing
      ? this.#iptables(firewall, refused)
      : done.stderr.trim() || done.error?.message || 'nft failed';
  }

  #iptables(firewall: Firewall, refused: readonly string[]): string | undefined {
    for (const [program, addresses] of [
      ['iptables', refused.filter((address) => !address.includes(':'))],
      ['ip6tables', refused.filter((address) => address.includes(':'))],
    ] as const) {
      for (const command of iptablesCommands(firewall, program, this.#refused, addresses)) {
        const [name, ...args] = command.words as [string, ...string[]];
        const done = spawnSync(name, args, { encoding: 'utf8' });
        if (done.status !== 0 && !command.mayFail) return done.stderr?.trim() || done.error?.message;
      }
    }
    return undefined;
  }
}

/** The rules in the language of nft: our table anew, or gone. */
export function nftScript(firewall: Firewall, refused: readonly string[]): string {
  const table = `inet ${firewall.table}_accept`;
  const lines = [`add table ${table}`, `delete table ${table}`];
  if (refused.length > 0) {
    const four = refused.filter((address) => !address.includes(':'));
    const six = refused.filter((address) => address.includes(':'));
    const counter = firewall.counters ? 'counter ' : '';
    lines.push(`table ${table} {`, '  chain input {');
    lines.push(`    type filter hook input priority ${firewall.priority}; policy accept;`);
    if (four.length > 0) lines.push(`    ip daddr { ${four.join(', ')} } ${counter}drop`);
    if (six.length > 0) {
      lines.push('    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept');
      lines.push(`    ip6 daddr { ${six.join(', ')} } ${counter}drop`);
    }
    lines.push('  }', '}');
  }
  return `${lines.join('\n')}\n`;
}

/** The same as calls of iptables: rules that are gone out, new ones in. */
export function iptablesCommands(
  firewall: Firewall,
  program: 'iptables' | 'ip6tables',
  before: readonly string[],
  refused: readonly string[],
): { words: string[]; mayFail: boolean }[] {
  const six = program === 'ip6tables';
  const rules = (addresses: readonly string[]) =>
    addresses
      .filter((address) => address.includes(':') === six)
      .flatMap((address) => [
        ...(six
          ? NEIGHBOUR_TYPES.map((type) => [
              '-d',
              address,
              '-p',
              'icmpv6',
              '--icmpv6-type',
              type,
              '-j',
              'ACCEPT',
            ])
          : []),
        ['-d', address, '-j', 'DROP'],
      ]);
  const chain = firewall.inputChain;
  return [
    // Those of an earlier run too: the same rule twice would outlive its removal.
    ...rules([...new Set([...before, ...refused])]).map((rule) => ({
      words: [program, '-w', '-D', chain, ...rule],
      mayFail: true,
    })),
    ...rules(refused).map((rule) => ({ words: [program, '-w', '-A', chain, ...rule], mayFail: false })),
  ];
}
