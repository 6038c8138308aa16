/** What the command line asks for. */
export interface Options {
  file: string;
  vrrp: boolean;
  checker: boolean;
  noBfd: boolean;
  all: boolean;
  logConsole: boolean;
  /** How often -D was given. */
  logDetail: number;
  /** Syslog facility number. */
  facility: number;
  /** `-g`: log to a file of this name as well. */
  logFile?: string;
  noSyslog: boolean;
  umask?: number;
  releaseVips: boolean;
  dontReleaseVrrp: boolean;
  dontReleaseIpvs: boolean;
  dontRespawn: boolean;
  dontFork: boolean;
  dumpConf: boolean;
  pidFile?: string;
  vrrpPidFile?: string;
  checkersPidFile?: string;
  bfdPidFile?: string;
  addressMonitoring: boolean;
  namespace?: string;
  checkIncludes: boolean;
  configId?: string;
  /** `--signum`: print the number of a signal and end. */
  signum?: string;
  /** `-t`: check the configuration and end; the log's file, empty for stderr. */
  configTest?: string;
  ignoreSigint: boolean;
  coreDump: boolean;
  dialect?: 'upstream' | 'dpvs';
  version: boolean;
  help: boolean;
  genhash: boolean;
  /** A sentence for the log for each option that was given and has no effect here. */
  withoutEffect: string[];
  /** Words that are no options. */
  extra: string[];
}

/** Daemon facility of syslog. */
const DAEMON = 3;

interface OptionForm {
  short?: string;
  long: string;
  /** Whether a value follows: always, or only when attached (`-tFILE`, `--config-test=FILE`). */
  value?: 'required' | 'optional';
  shown?: string;
  help: string;
  /** @returns a complaint when the value is no good */
  apply(options: Options, value: string | undefined): string | undefined;
}

function on(key: keyof Options) {
  return (options: Options): undefined => {
    (options as unknown as Record<string, unknown>)[key] = true;
  };
}

function text(key: keyof Options) {
  return (options: Options, value: string | undefined): undefined => {
    (options as unknown as Record<string, unknown>)[key] = value ?? '';
  };
}

/** An option that is taken and has no effect here. @param why completes "--NAME has no effect: " in the log */
function without(name: string, why: string) {
  return (options: Options): undefined => {
    options.withoutEffect.push(`--${name} has no effect: ${why}`);
  };
}

const optionForms: OptionForm[] = [
  {
    short: 'f',
    long: 'use-file',
    value: 'required',
    shown: 'FILE',
    help: 'configuration file (default /etc/keepalived/keepalived.conf)',
    apply: text('file'),
  },
  { short: 'P', long: 'vrrp', help: 'run VRRP only', apply: on('vrrp') },
  { short: 'C', long: 'check', help: 'run health checks only', apply: on('checker') },
  { short: 'B', long: 'no_bfd', help: 'run no BFD', apply: on('noBfd') },
  { long: 'all', help: 'run all parts even if nothing is configured for them', apply: on('all') },
  { short: 'l', long: 'log-console', help: 'log to the console as well', apply: on('logConsole') },
  {
    short: 'D',
    long: 'log-detail',
    help: 'detailed log',
    apply(options) {
      options.logDetail++;
      return undefined;
    },
  },
  {
    short: 'S',
    long: 'log-facility',
    value: 'required',
    shown: '0-7|local0-7|user|daemon',
    help: 'syslog facility (default daemon)',
    apply(options, value = '') {
      const local = /^(?:local)?([0-7])$/i.exec(value);
      if (local) options.facility = 16 + Number(local[1]);
      else if (/^user$/i.test(value)) options.facility = 1;
      else if (/^daemon$/i.test(value)) options.facility = DAEMON;
      else return `Invalid log facility '${value}'`;
      return undefined;
    },
  },
  {
    short: 'g',
    long: 'log-file',
    value: 'optional',
    shown: 'FILE',
    help: 'log to FILE as well (default /tmp/keepalived.log)',
    apply: (options, value) => text('logFile')(options, value || '/tmp/keepalived.log'),
  },
  {
    long: 'flush-log-file',
    help: 'accepted: every line is written at once',
    apply: without('flush-log-file', 'every line is written at once anyway'),
  },
  { short: 'G', long: 'no-syslog', help: 'do not log to syslog', apply: on('noSyslog') },
  {
    short: 'u',
    long: 'umask',
    value: 'required',
    shown: 'MASK',
    help: 'umask for files that are made',
    apply(options, value = '') {
      const mask = /^0[xX]/.test(value)
        ? Number(value)
        : /^0/.test(value)
          ? Number.parseInt(value, 8)
          : Number(value);
      if (!Number.isInteger(mask) || mask < 0 || mask > 0o777) return `Invalid --umask value '${value}'`;
      options.umask = mask;
      return undefined;
    },
  },
  {
    short: 'X',
    long: 'release-vips',
    help: 'drop the addresses at the end, also with -V (the default without it)',
    apply: on('releaseVips'),
  },
  {
    short: 'V',
    long: 'dont-release-vrrp',
    help: 'leave addresses and routes in place at the end',
    apply: on('dontReleaseVrrp'),
  },
  {
    short: 'I',
    long: 'dont-release-ipvs',
    help: 'leave virtual servers in place at the end',
    apply: on('dontReleaseIpvs'),
  },
  {
    short: 'R',
    long: 'dont-respawn',
    help: 'end when a part ends instead of starting it anew',
    apply: on('dontRespawn'),
  },
  { short: 'n', long: 'dont-fork', help: 'stay in the foreground', apply: on('dontFork') },
  {
    short: 'd',
    long: 'dump-conf',
    help: 'dump the configuration as it was understood',
    apply: on('dumpConf'),
  },
  { short: 'p', long: 'pid', value: 'required', shown: 'FILE', help: 'pid file', apply: text('pidFile') },
  {
    short: 'r',
    long: 'vrrp_pid',
    value: 'required',
    shown: 'FILE',
    help: 'pid file of VRRP',
    apply: text('vrrpPidFile'),
  },
  {
    short: 'c',
    long: 'checkers_pid',
    value: 'required',
    shown: 'FILE',
    help: 'pid file of the health checks',
    apply: text('checkersPidFile'),
  },
  {
    short: 'b',
    long: 'bfd_pid',
    value: 'required',
    shown: 'FILE',
    help: 'pid file of BFD',
    apply: text('bfdPidFile'),
  },
  {
    short: 'T',
    long: 'genhash',
    help: 'print the MD5 sum of a page, for `digest` (must come first)',
    apply: on('genhash'),
  },
  {
    short: 'a',
    long: 'address-monitoring',
    help: 'log all addresses that come and go',
    apply: on('addressMonitoring'),
  },
  {
    short: 'x',
    long: 'snmp',
    help: 'accepted: there is no SNMP agent',
    apply: without('snmp', 'there is no SNMP agent in this suite'),
  },
  {
    short: 'A',
    long: 'snmp-agent-socket',
    value: 'required',
    shown: 'FILE',
    help: 'accepted: there is no SNMP agent',
    apply: without('snmp-agent-socket', 'there is no SNMP agent in this suite'),
  },
  {
    short: 's',
    long: 'namespace',
    value: 'required',
    shown: 'NAME',
    help: 'run in this network namespace',
    apply: text('namespace'),
  },
  { short: 'm', long: 'core-dump', help: 'leave a core file after a crash', apply: on('coreDump') },
  {
    short: 'M',
    long: 'core-dump-pattern',
    value: 'optional',
    shown: 'PATTERN',
    help: 'the same; the pattern of the machine is left as it is',
    apply(options, value) {
      options.coreDump = true;
      if (value !== undefined)
        options.withoutEffect.push('--core-dump-pattern: /proc/sys/kernel/core_pattern is left as it is');
      return undefined;
    },
  },
  {
    short: 'e',
    long: 'all-config',
    help: 'every file of an include line must be there',
    apply: on('checkIncludes'),
  },
  {
    short: 'i',
    long: 'config-id',
    value: 'required',
    shown: 'ID',
    help: 'lines that begin with @ID are for us (default the node name)',
    apply: text('configId'),
  },
  {
    long: 'signum',
    value: 'required',
    shown: 'FUNC',
    help: 'print the signal for STOP, RELOAD, DATA, STATS, STATS_CLEAR, JSON',
    apply: text('signum'),
  },
  {
    short: 't',
    long: 'config-test',
    value: 'optional',
    shown: 'FILE',
    help: 'check the configuration; findings to FILE (default stderr)',
    apply: text('configTest'),
  },
  {
    long: 'config-fd',
    value: 'required',
    shown: 'FD',
    help: 'accepted: the configuration is not handed down by descriptor',
    apply: without(
      'config-fd',
      'keepalived hands its configuration to itself this way; here every part gets it from the front door',
    ),
  },
  { long: 'ignore-sigint', help: 'take no notice of SIGINT', apply: on('ignoreSigint') },
  {
    long: 'perf',
    value: 'optional',
    shown: 'MODE',
    help: 'accepted, without effect',
    apply: without('perf', 'use perf, or node --cpu-prof, from outside'),
  },
  {
    long: 'debug',
    value: 'optional',
    shown: 'OPTIONS',
    help: 'accepted, without effect: -D logs in detail',
    apply: without('debug', 'there are no debug options to compile in; -D logs in detail'),
  },
  {
    long: 'no-mem-check',
    help: 'accepted, without effect',
    apply: without('no-mem-check', 'there are no allocation checks to compile in'),
  },
  {
    short: 'L',
    long: 'mem-check-log',
    help: 'accepted, without effect',
    apply: without('mem-check-log', 'there are no allocation checks to compile in'),
  },
  {
    long: 'dialect',
    value: 'required',
    shown: 'upstream|dpvs',
    help: 'how UDP_CHECK payloads are written, and whose exit codes -t returns',
    apply(options, value) {
      if (value !== 'upstream' && value !== 'dpvs') return `Invalid dialect '${value}'`;
      options.dialect = value;
      return undefined;
    },
  },
  { short: 'v', long: 'version', help: 'print the version', apply: on('version') },
  { short: 'h', long: 'help', help: 'print this text', apply: on('help') },
];

/** Reads a command line the way getopt_long does. @returns the options, or what is wrong with them */
export function readOptions(argv: readonly string[]): Options | { error: string } {
  const options: Options = {
    file: '/etc/keepalived/keepalived.conf',
    vrrp: false,
    checker: false,
    noBfd: false,
    all: false,
    logConsole: false,
    logDetail: 0,
    facility: DAEMON,
    noSyslog: false,
    releaseVips: false,
    dontReleaseVrrp: false,
    dontReleaseIpvs: false,
    dontRespawn: false,
    dontFork: false,
    dumpConf: false,
    addressMonitoring: false,
    checkIncludes: false,
    ignoreSigint: false,
    coreDump: false,
    version: false,
    help: false,
    genhash: false,
    withoutEffect: [],
    extra: [],
  };
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] as string;
    if (word === '--') {
      options.extra.push(...argv.slice(at + 1));
      break;
    }
    if (word.startsWith('--')) {
      const equals = word.indexOf('=');
      const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
      const matches = optionForms.filter((form) => form.long.startsWith(name));
      const form =
        optionForms.find((one) => one.long === name) ?? (matches.length === 1 ? matches[0] : undefined);
      if (!form) return { error: `Unknown option ${word}` };
      let value = equals < 0 ? undefined : word.slice(equals + 1);
      if (value !== undefined && !form.value)
        return { error: `option '--${form.long}' doesn't allow an argument` };
      if (value === undefined && form.value === 'required') value = argv[++at];
      if (value === undefined && form.value === 'required')
        return { error: `Missing option argument for --${form.long}` };
      const complaint = form.apply(options, value);
      if (complaint) return { error: complaint };
    } else if (word.startsWith('-') && word.length > 1) {
      for (let letter = 1; letter < word.length; letter++) {
        const form = optionForms.find((one) => one.short === word[letter]);
        if (!form) return { error: `Unknown option -${word[letter]}` };
        let value: string | undefined;
        if (form.value) {
          value = letter + 1 < word.length ? word.slice(letter + 1) : undefined;
          if (value === undefined && form.value === 'required') value = argv[++at];
          if (value === undefined && form.value === 'required')
            return { error: `Missing option argument for -${form.short}` };
          letter = word.length;
        }
        const complaint = form.apply(options, value);
        if (complaint) return { error: complaint };
      }
    } else {
      options.extra.push(word);
    }
  }
  return options;
}

/** The text of `--help`. */
export function helpText(): string {
  const rows = optionForms.map((form) => {
    const value =
      form.value === 'required' ? `=${form.shown}` : form.value === 'optional' ? `[=${form.shown}]` : '';
    const names = `  ${form.short ? `-${form.short}, ` : '    '}--${form.long}${value}`;
    return `${names.padEnd(32)} ${form.help}`;
  });
  return `Usage: keepalived [OPTION...]\n${rows.join('\n')}\n`;
}
