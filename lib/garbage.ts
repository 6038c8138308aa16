import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import koffi from 'koffi';

const mallocTrim = koffi.load('libc.so.6').func('int malloc_trim(size_t pad)');
let collect: (() => void) | undefined;

/**
 * Gives the memory of what is no longer used back to the system, at the price of a pause (some 3 ms for each megabyte that stays).
 * For the moment after a start or reload: the heap has then grown by text and intermediate forms of the configuration, and V8, which
 * collects by how much is allocated, would keep all of it for hours where little is.
 */
export function releaseGarbage(): void {
  if (!collect) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  // Without it half-empty pages stay: a third of what can be given back.
  setFlagsFromString('--compact-on-every-full-gc');
  collect();
  setFlagsFromString('--no-compact-on-every-full-gc');
  mallocTrim(0);
}
