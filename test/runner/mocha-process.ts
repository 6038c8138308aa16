// The process in which mocha runs, started by mocha.ts: TIMEOUT FILTER FILE... (filter may be empty).
import { resolve } from 'node:path';
import Mocha from 'mocha';
import { EventReporter } from './reporter.js';

const [timeout, filter = '', ...files] = process.argv.slice(2);
const mocha = new Mocha({ timeout: Number(timeout), reporter: EventReporter });
if (filter) mocha.fgrep(filter);
for (const file of files) mocha.addFile(resolve(file));
await mocha.loadFilesAsync();
// Leaving by force: a test that failed may have left a socket or a timer behind.
mocha.run((failures) => process.exit(Math.min(failures, 255)));
