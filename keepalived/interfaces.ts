import koffi from 'koffi';

const if_nametoindex = koffi.load('libc.so.6').func('uint32_t if_nametoindex(const char *name)');

/** Whether there is a network interface of this name in our namespace. */
export function interfaceExists(name: string): boolean {
  return (if_nametoindex(name) as number) !== 0;
}
