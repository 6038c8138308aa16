import type { Socket } from 'node:net';

/** Longest line of the control protocols; whoever sends more is none of ours. */
const LONGEST = 1 << 24;

/** Calls back for every line that a socket brings. A line that never ends closes it. */
export function onLines(socket: Socket, handle: (line: string) => void): void {
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > LONGEST) socket.destroy();
    for (const line of lines) handle(line);
  });
}
