/** DPDK's virtual devices: what the planner has to know of their argument strings, such as `net_af_packet0,iface=veth0,qpairs=2`. */

/** How a driver learns the number of its queues. Drivers that are not listed take what the port is configured with. */
const queueArguments: Record<string, string> = {
  net_af_packet: 'qpairs',
  net_af_xdp: 'queue_count',
  net_vhost: 'queues',
  net_virtio_user: 'queues',
};

export const vdevName = (text: string): string => text.split(',', 1)[0] ?? '';

/** `net_af_packet0` is of the driver `net_af_packet`; longest known driver first, since some names end in digits. */
export const vdevDriver = (text: string): string => vdevName(text).replace(/\d*$/, '').replace(/_$/, '');

/** Whether the name is that of an Ethernet port, not of a crypto or event device. */
export const isPort = (text: string): boolean => /^(net|eth)_/.test(text);

function argument(text: string, key: string): string | undefined {
  const found = text.split(',').find((part) => part.startsWith(`${key}=`));
  return found?.slice(key.length + 1);
}

/**
 * Queue pairs that the text itself fixes.
 * @returns undefined when it leaves them open
 */
export function fixedQueues(text: string): number | undefined {
  const driver = vdevDriver(text);
  const key = queueArguments[driver];
  if (key !== undefined) {
    const given = Number(argument(text, key));
    return Number.isInteger(given) && given > 0 ? given : undefined;
  }
  if (driver === 'net_pcap') {
    return text.split(',').filter((part) => /^(rx_|iface=)/.test(part)).length || 1;
  }
  return undefined;
}

/** The argument that would raise the number of queues, for advice. */
export const queueArgument = (text: string): string | undefined => queueArguments[vdevDriver(text)];

/** The text with its number of queues filled in, where the driver wants to know it and the text does not say. */
export function withQueues(text: string, queues: number): string {
  const key = queueArguments[vdevDriver(text)];
  return key === undefined || queues <= 1 || argument(text, key) !== undefined
    ? text
    : `${text},${key}=${queues}`;
}
