import type { Model } from './conf/items.js';
import type { Conf } from './conf/parse.js';
import type { Plan, PlannedPort } from './plan/plan.js';
import type { ForwardingWorker } from './plan/workers.js';

/**
 * What the native process is told at start, as text: one item per line, `name value...`, values divided by single blanks. A name is a
 * dotted path of lower-case words. Lines of the same name are a list, in order. Unknown names are an error on the C side.
 *
 *     ipc PATH                     control socket
 *     pid PATH                     pid file
 *     daemon 0|1                   go into the background once everything is up
 *     log_level LEVEL              emerg alert crit err warning notice info debug
 *     log_file PATH                absent: standard error
 *     idle poll|adaptive
 *     rx_burst N                   most packets taken at once, of all ports
 *     pktpool.size N               packets on each NUMA node in use
 *     pktpool.cache N              packets each lcore keeps, at most 512
 *     neigh.unres_queue N          packets waiting for one neighbour
 *     neigh.timeout SECONDS
 *     ip4.ttl N, ip4.forwarding 0|1, ip6.forwarding 0|1
 *     conn.pool_size N             connections of all workers together
 *     conn.init_timeout SECONDS, conn.expire_quiescent 0|1
 *     tcp.timeout.STATE SECONDS    none established syn_sent syn_recv fin_wait time_wait close close_wait last_ack listen synack last
 *     udp.timeout.STATE SECONDS    oneway normal last
 *     tcp.defence_drop 0|1, udp.defence_drop 0|1
 *     uoa.mode opp|ipo, udp.uoa_max_trail N
 *     sa_pool.flow_enable 0|1
 *     twin_kind tap|virtio-user    of all kernel twins
 *     port N name NAME vdev DEVICE | pci ADDRESS rxq N txq N rxd N txd N mtu N promisc 0|1 allmulti 0|1 [kni NAME] rss KIND|KIND...
 *                                  numbered from 0; pairs of key and value in any order; DEVICE is the name rte_eth_dev_get_port_by_name
 *                                  knows; mtu 0 keeps the device's; without kni there is no kernel twin
 *     worker N lcore L name NAME { port N [rxq Q] txq Q }...
 *                                  numbered from 0; each `port` begins another queue; without rxq the worker only sends there
 *     reload_command WORD...       what to run on SIGHUP: program and arguments; %XX in a word is a character in hexadecimal
 *     twins_command WORD...        what to run for as long as the process does, to watch the kernel's side of the twins; likewise. It
 *                                  writes a byte to its descriptor 3 every few seconds, and is replaced when it falls silent
 *
 * The lines of tcp.*, udp.*, conn.init_timeout, conn.expire_quiescent, neigh.timeout, ip4.*, ip6.*, uoa.mode and log_level may change
 * later by `Setting` messages of control.proto, under the same names and with the same values.
 */
export interface Setting {
  name: string;
  value: string;
}

/** Where the process meets the rest of the system. */
export interface Places {
  ipc: string;
  pid: string;
  /** Program and arguments that reload the configuration. */
  reload: string[];
  /** Program and arguments that watch the kernel's side of the twins. */
  watch: string[];
}

const bit = (value: boolean): string => (value ? '1' : '0');

const levelNames: Record<string, string> = { error: 'err', warn: 'warning' };

/** The items that may change while the process runs. */
export function reloadable({ global_defs, neigh_defs, ipv4_defs, ipv6_defs, ipvs_defs }: Model): Setting[] {
  const settings: Setting[] = [];
  const put = (name: string, value: string | number) => settings.push({ name, value: String(value) });
  put('log_level', levelNames[global_defs.log_level] ?? global_defs.log_level);
  put('neigh.timeout', neigh_defs.timeout);
  put('ip4.ttl', ipv4_defs.default_ttl);
  put('ip4.forwarding', bit(ipv4_defs.forwarding));
  put('ip6.forwarding', bit(ipv6_defs.forwarding));
  put('conn.init_timeout', ipvs_defs.conn.conn_init_timeout);
  put('conn.expire_quiescent', bit(ipvs_defs.conn.expire_quiescent_template));
  for (const [state, seconds] of Object.entries(ipvs_defs.tcp.timeout)) put(`tcp.timeout.${state}`, seconds);
  for (const [state, seconds] of Object.entries(ipvs_defs.udp.timeout)) put(`udp.timeout.${state}`, seconds);
  put('udp.defence_drop', bit(ipvs_defs.udp.defence_udp_drop));
  put('tcp.defence_drop', bit(ipvs_defs.tcp.defence_tcp_drop));
  put('uoa.mode', ipvs_defs.udp.uoa_mode);
  put('udp.uoa_max_trail', ipvs_defs.udp.uoa_max_trail);
  return settings;
}

const portLine = (port: PlannedPort): string =>
  [
    ['name', port.name],
    [port.bus, port.device],
    ['rxq', port.rxq],
    ['txq', port.txq],
    ['rxd', port.rxd],
    ['txd', port.txd],
    ['mtu', port.mtu],
    ['promisc', bit(port.promisc)],
    ['allmulti', bit(port.allmulti)],
    ...(port.kni === undefined ? [] : [['kni', port.kni]]),
    ['rss', port.rss.join('|')],
  ]
    .flat()
    .join(' ');

function workerLine(worker: ForwardingWorker, ports: PlannedPort[]): string {
  const queues = worker.queues.map((queue) => {
    const number = ports.findIndex((port) => port.name === queue.port);
    return `port ${number}${queue.rx === undefined ? '' : ` rxq ${queue.rx}`} txq ${queue.tx}`;
  });
  return [`lcore ${worker.lcore}`, `name ${worker.name}`, ...queues].join(' ');
}

/** The items that are fixed once the process runs. */
export function fixedSettings({ model }: Conf, plan: Plan): Setting[] {
  const settings: Setting[] = [];
  const put = (name: string, value: string | number) => settings.push({ name, value: String(value) });
  const { global_defs, netif_defs, neigh_defs, ipvs_defs, sa_pool } = model;
  put('daemon', bit(global_defs.daemon));
  const logFile = global_defs.log_file ?? (global_defs.daemon ? '/var/log/dpvs.log' : undefined);
  if (logFile !== undefined) put('log_file', logFile);
  put('idle', plan.idle);
  put('rx_burst', Math.max(...plan.ports.map((port) => port.burst)));
  put('pktpool.size', netif_defs.pktpool_size);
  put('pktpool.cache', plan.memory.cache);
  put('neigh.unres_queue', neigh_defs.unres_queue_length);
  put('conn.pool_size', ipvs_defs.conn.conn_pool_size);
  put('sa_pool.flow_enable', bit(sa_pool.flow_enable));
  put('twin_kind', plan.twinKind);
  for (const [number, port] of plan.ports.entries()) put('port', `${number} ${portLine(port)}`);
  for (const [number, worker] of plan.workers.entries()) {
    put('worker', `${number} ${workerLine(worker, plan.ports)}`);
  }
  return settings;
}

/** A word without blanks: they, control characters and percent signs become %XX. */
const escapeWord = (word: string): string =>
  word.replace(/[\x00-\x20%\x7f]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);

/** All settings of a plan. */
export const allSettings = (conf: Conf, plan: Plan, places: Places): Setting[] => [
  { name: 'ipc', value: places.ipc },
  { name: 'pid', value: places.pid },
  ...fixedSettings(conf, plan),
  ...reloadable(conf.model),
  { name: 'reload_command', value: places.reload.map(escapeWord).join(' ') },
  ...(plan.ports.some((port) => port.kni !== undefined)
    ? [{ name: 'twins_command', value: places.watch.map(escapeWord).join(' ') }]
    : []),
];

/** The whole text for the native process. */
export const settingsText = (settings: Setting[]): string =>
  settings.map(({ name, value }) => `${name} ${value}\n`).join('');
