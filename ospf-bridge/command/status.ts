import type { BridgeStatus } from '../control.js';

/** The state of a bridge for people. */
export function statusText(status: BridgeStatus): string {
  const { router, dataplane, guard, addresses, neighbours } = status;
  const daemon = router.version ?? `${router.kind}: ${router.problem ?? 'no answer'}`;
  const lines = [
    `router      ${daemon}`,
    `dataplane   ${dataplane === 'none' ? 'not watched' : dataplane}`,
    `guard       ${guard ? 'on duty' : 'not there'}`,
    '',
    ...rows([
      ['ADDRESS', 'STATE', 'SEEN', 'METRIC', 'SINCE', 'REASON'],
      ...addresses.map((one) => [
        one.address,
        one.state === one.wanted ? one.state : `${one.state}, to be ${one.wanted}`,
        one.seen === null ? '?' : one.seen ? 'yes' : 'no',
        one.metric === null ? '-' : String(one.metric),
        one.since === null ? '-' : one.since.replace(/\.\d+Z/, 'Z'),
        one.problem === null ? one.reason : `${one.reason}; ${one.problem}`,
      ]),
    ]),
    '',
    ...rows([
      ['NEIGHBOUR', 'ADDRESS', 'INTERFACE', 'STATE', 'BFD'],
      ...neighbours.map((one) => [
        one.routerId,
        one.address || '-',
        one.interface,
        one.state,
        one.bfd ?? '-',
      ]),
    ]),
  ];
  return `${lines.join('\n')}\n`;
}

function rows(cells: string[][]): string[] {
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  return cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
}
