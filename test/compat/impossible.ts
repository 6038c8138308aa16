import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder of the project, from the compiled place of this file (dist/test/compat/). */
export const root = join(fileURLToPath(new URL('.', import.meta.url)), '..', '..', '..');

/** It cannot be done on this machine; the message says why, and what to do about it. */
export class Impossible extends Error {}
