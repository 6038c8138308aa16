import { DpvsdClient } from '../../dpvsd/client.js';
import { runProgram } from '../program.js';
import { ipvsadm } from './run.js';

await runProgram((args) =>
  ipvsadm(args, {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    connect: () => DpvsdClient.connect({ client: 'ipvsadm' }),
  }),
);
