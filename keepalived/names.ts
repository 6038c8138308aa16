import type { Global } from './model/global.js';

/**
 * The part of file names that tells instances of the suite on one machine apart: network namespace and instance name.
 * @returns empty when there is neither
 */
export function instanceName(
  global: Pick<Global, 'netNamespace' | 'instance'>,
  between: string,
  before: string,
): string {
  const parts = [global.netNamespace, global.instance].filter((part) => part !== undefined && part !== '');
  return parts.length === 0 ? '' : before + parts.join(between);
}
