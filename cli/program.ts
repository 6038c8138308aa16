/** Exit code of a program that SIGPIPE ended, as shells report it: `ipvsadm -Lnc | head` is no failure of ipvsadm. */
const BROKEN_PIPE = 141;

/** Runs a command-line program to its end and exits with its code; standard output is written out first. */
export async function runProgram(program: (args: string[]) => Promise<number>): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      process.exit(error.code === 'EPIPE' ? BROKEN_PIPE : 1);
    });
  }
  const code = await program(process.argv.slice(2));
  // Name look-ups that nobody waits for any more must not hold the process.
  process.exitCode = code;
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
}
