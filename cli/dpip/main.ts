import { DpvsdClient } from '../../dpvsd/client.js';
import { runProgram } from '../program.js';
import { dpip } from './run.js';

/** Waits; an interrupt ends the waiting, and with it the repetition, in good order. */
function sleep(seconds: number): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (whole: boolean) => {
      clearTimeout(timer);
      process.off('SIGINT', interrupted);
      resolve(whole);
    };
    const interrupted = () => end(false);
    const timer = setTimeout(() => end(true), seconds * 1000);
    process.on('SIGINT', interrupted);
  });
}

await runProgram((args) =>
  dpip(args, {
    stdout: process.stdout,
    stderr: process.stderr,
    connect: () => DpvsdClient.connect({ client: 'dpip' }),
    sleep,
  }),
);
