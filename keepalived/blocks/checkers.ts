import type { CheckerDraft, RealServerDraft, UrlDraft } from '../draft.js';
import {
  block,
  type Keyword,
  type Line,
  type Shape,
  type Spec,
  storing,
  table,
  value,
} from '../grammar/keyword.js';
import {
  bool,
  command,
  existing,
  flag,
  ip,
  longTimer,
  oneOf,
  owner,
  timer,
  uint,
  unsigned,
  word,
  words,
} from '../grammar/shapes.js';
import { splitQuoted } from '../grammar/words.js';
import type { CheckerKind } from '../model/virtual-server.js';
import { wholeSeconds } from './global-defs.js';

const LARGEST = 4294967295;
const LARGEST_INT = 2147483647;
const U: Spec = { in: 'upstream' };

const set = storing<CheckerDraft>();

/** A time that must be more than 0. */
const positive = timer(0.000001);

const timing: Keyword<CheckerDraft>[] = [
  value('retry', uint(0, LARGEST), set('retry'), { default: '1 (DNS_CHECK 3, MISC_CHECK 0)' }),
  value('delay_before_retry', longTimer(), set('delayBeforeRetry'), {
    default: '1 s (HTTP_GET, SSL_GET 3 s; DNS_CHECK delay_loop)',
  }),
  value('warmup', longTimer(), set('warmup'), { default: 'delay_loop' }),
  value('delay_loop', longTimer(0.000001), set('delayLoop'), { default: 'of the real server' }),
  value('alpha', bool, set('alpha'), { default: 'of the real server' }),
  value('log_all_failures', bool, set('logAllFailures'), { default: 'checker_log_all_failures' }),
];

const realPort: Shape<number> = {
  text: '1..65535',
  least: 1,
  read: (line) => unsigned(line.words[1] as string, 1, 65535, line, true),
};

const endpoint: Keyword<CheckerDraft>[] = [
  value('connect_ip', ip, set('connectAddress'), { default: 'of the real server' }),
  value('connect_port', realPort, set('connectPort'), { default: 'of the real server' }),
  value('bindto', ip, set('bindAddress')),
  value('bind_port', realPort, set('bindPort')),
  value('bind_if', word, set('bindInterface')),
  value('connect_timeout', positive, set('connectTimeout'), { default: 'of the real server (5 s)' }),
  value('fwmark', uint(0, LARGEST), set('fwmark'), { default: '0' }),
];

/** The rest of the line, kept as it is: how it is read depends on the dialect. */
function bytes(least: number): Shape<{ words: string[]; text: string }> {
  return {
    text: least ? 'HEX|TEXT' : '[HEX|TEXT]',
    least,
    read: (line) => ({ words: line.words.slice(1), text: line.text.slice(line.keyword.length).trim() }),
  };
}

const tcpCheck = table<CheckerDraft>('TCP_CHECK', [...timing, ...endpoint]);

const udpCheck = table<CheckerDraft>(
  'UDP_CHECK',
  [
    ...timing,
    ...endpoint,
    value('payload', bytes(1), set('payload')),
    value('require_reply', bytes(0), set('requireReply')),
    value('min_reply_length', uint(0, 65535), set('minReplyLength'), { default: '0' }),
    value('max_reply_length', uint(0, 65535), set('maxReplyLength'), { default: '255' }),
  ],
  { tolerant: ['payload'] },
);

const pingCheck = table<CheckerDraft>('PING_CHECK', [
  ...[...timing, ...endpoint].map((keyword) => ({ ...keyword, in: 'upstream' as const })),
]);

/** `status_code 200 300-302` */
const statusCodes: Shape<[number, number][]> = {
  text: '100..599 | N-M ...',
  least: 1,
  read(line) {
    const made: [number, number][] = [];
    for (const given of line.words.slice(1)) {
      const match = /^(\d{3})(?:-(\d{3}))?$/.exec(given);
      const first = Number(match?.[1]);
      const last = Number(match?.[2] ?? match?.[1]);
      if (!match || first < 100 || last > 599 || first > last) {
        line.report('error', `'status_code': '${given}' is no status code 100..599 or range of them`);
        continue;
      }
      made.push([first, last]);
    }
    return made.length > 0 ? made : undefined;
  },
};

/** A regular expression: the second word, quotes and escapes resolved. */
const pattern: Shape<string> = {
  text: 'REGEX',
  least: 1,
  read(line) {
    const { words: pieces, unmatched } = splitQuoted(line.text, 'resolve');
    if (unmatched) line.report('unmatched-quote', "'regex': a quote is not closed");
    return pieces[1];
  },
};

/** An offset in the body; keepalived does not complain about a bad one. */
function offset(min: number): Shape<number> {
  return {
    text: `N >= ${min}`,
    least: 1,
    read(line) {
      const given = line.words[1] as string;
      const number = /^\d+$/.test(given) ? Number(given) : Number.NaN;
      if (number >= min && number <= LARGEST) return number;
      line.report('note', `'${line.keyword}': '${given}' is no offset, ignored`);
      return undefined;
    },
  };
}

/** Options of PCRE2 that a pattern may be compiled with, by keepalived's names. */
export const regexOptions = [
  'allow_empty_class',
  'alt_bsux',
  'auto_callout',
  'caseless',
  'dollar_endonly',
  'dotall',
  'dupnames',
  'extended',
  'firstline',
  'match_unset_backref',
  'multiline',
  'never_ucp',
  'never_utf',
  'no_auto_capture',
  'no_auto_possess',
  'no_dotstar_anchor',
  'no_start_optimize',
  'ucp',
  'ungreedy',
  'utf',
  'never_backslash_c',
  'alt_circumflex',
  'alt_verbnames',
  'use_offset_limit',
  'extended_more',
  'literal',
] as const;

const setUrl = storing<UrlDraft>();

function url(kind: 'HTTP_GET' | 'SSL_GET') {
  return table<UrlDraft>(
    'url',
    [
      value('path', word, setUrl('path')),
      value('digest', word, (target: UrlDraft, digest, line) => {
        if (!/^[0-9a-fA-F]{32}$/.test(digest))
          line.report('error', "'digest' takes the 32 hexadecimal digits of an MD5 sum, ignored");
        else target.digest = digest.toLowerCase();
      }),
      value('status_code', statusCodes, setUrl('statusCodes'), { default: '200-299' }),
      value('virtualhost', word, setUrl('virtualHost')),
      value('regex', pattern, setUrl('pattern')),
      value('regex_no_match', flag, setUrl('regexNoMatch')),
      value(
        'regex_options',
        words(regexOptions.slice(0, 4).join(' ').concat(' ...'), 1),
        (target: UrlDraft, given, line) => {
          const known = given.filter((name) => (regexOptions as readonly string[]).includes(name));
          for (const name of given) {
            if (!known.includes(name)) line.report('note', `'regex_options': unknown option '${name}'`);
          }
          target.regexOptions = [...(target.regexOptions ?? []), ...known];
        },
      ),
      value('regex_min_offset', offset(0), setUrl('regexMinOffset'), { default: '0' }),
      value('regex_max_offset', offset(1), setUrl('regexMaxOffset'), { default: 'none' }),
      value(
        'regex_stack',
        words('START MAX', 2),
        (_target: UrlDraft, given, line) => {
          if (given.slice(0, 2).some((text) => !/^[1-9]\d*$/.test(text)))
            line.report('note', `'regex_stack': '${given.join(' ')}' are no sizes, ignored`);
        },
        { accepted: 'the regular expression engine in use grows its stack by itself' },
      ),
      ...(kind === 'SSL_GET' ? [value('tls_compliant', bool, setUrl('tlsCompliant'), U)] : []),
    ],
    {
      tolerant: ['virtualhost'],
      lax: ['status_code', 'regex', 'regex_options', 'regex_min_offset', 'regex_max_offset', 'regex_stack'],
      once: ['digest'],
    },
  );
}

function httpCheck(kind: 'HTTP_GET' | 'SSL_GET') {
  return table<CheckerDraft>(
    kind,
    [
      ...timing,
      ...endpoint,
      value('nb_get_retry', uint(0, LARGEST), set('retry'), { alias: 'retry', warn: true }),
      value('virtualhost', word, set('virtualHost')),
      value(
        'http_protocol',
        {
          text: '1.0|1.0c|1.1',
          least: 1,
          read(line: Line) {
            const given = (line.words[1] as string).toLowerCase();
            if (given === '1.0' || given === '1.0c' || given === '1.1') return given;
            line.report('error', `'http_protocol': '${line.words[1]}' is none of 1.0, 1.0c, 1.1`);
            return undefined;
          },
        } as Shape<'1.0' | '1.0c' | '1.1'>,
        set('httpProtocol'),
        { default: '1.0' },
      ),
      value('enable_sni', bool, set('enableSni')),
      value(
        'sni_name',
        words('[NAME]', 0),
        (target: CheckerDraft, [name]) => {
          target.enableSni = true;
          if (name !== undefined) target.sniName = name;
        },
        U,
      ),
      value('fast_recovery', bool, set('fastRecovery')),
      ...(kind === 'SSL_GET' ? [value('tls_compliant', bool, set('tlsCompliant'), U)] : []),
      block('url', {
        table: url(kind),
        begin(target: CheckerDraft) {
          const made: UrlDraft = {};
          target.urls ??= [];
          target.urls.push(made);
          return made;
        },
      }),
    ],
    { tolerant: ['virtualhost', 'http_protocol'] },
  );
}

const smtpCheck = table<CheckerDraft>(
  'SMTP_CHECK',
  [
    ...timing,
    ...endpoint,
    value('helo_name', word, set('heloName'), { default: 'smtpchecker.keepalived.org' }),
    block(
      'host',
      {
        table: table<CheckerDraft>('host', [...timing, ...endpoint]),
        begin(target: CheckerDraft, line) {
          line.report('note', "'host' in SMTP_CHECK is deprecated: use one SMTP_CHECK for each address");
          const made: CheckerDraft = { kind: 'SMTP_CHECK', place: line.reader.place };
          target.hosts ??= [];
          target.hosts.push(made);
          return made;
        },
      },
      { alias: 'SMTP_CHECK' },
    ),
  ],
  { tolerant: ['helo_name'] },
);

const dnsTypes = ['A', 'NS', 'CNAME', 'SOA', 'MX', 'TXT', 'AAAA', 'RRSIG', 'DNSKEY'] as const;

const dnsCheck = table<CheckerDraft>(
  'DNS_CHECK',
  [
    ...timing,
    ...endpoint,
    value('type', oneOf(dnsTypes, { ignoreCase: true }), set('dnsType'), { default: 'SOA' }),
    value('name', word, set('name'), { default: 'the root' }),
  ],
  { once: ['name'] },
);

/** misc_path: all of the line behind the keyword belongs to the command. */
const miscPath: Shape<string[]> = {
  text: 'SCRIPT',
  least: 1,
  quoted: true,
  read(line) {
    const { words: pieces, unmatched } = splitQuoted(line.text, 'keep');
    if (unmatched) line.report('unmatched-quote', "'misc_path': a quote is not closed");
    const argv = command(pieces[1] ?? '', line.reader.folder);
    if (argv.length > 0) return argv;
    line.report('error', "'misc_path' has an empty command, ignored");
    return undefined;
  },
};

const miscCheck = table<CheckerDraft>(
  'MISC_CHECK',
  [
    ...timing,
    value('misc_path', miscPath, (target: CheckerDraft, argv) => {
      target.script = { argv };
    }),
    value('misc_timeout', wholeSeconds(), set('timeout'), { default: 'delay_loop of the virtual server' }),
    value('misc_dynamic', flag, set('dynamic')),
    value('user', words('user [[:]group]', 1), (target: CheckerDraft, given, line) => {
      target.scriptOwner = existing(owner(given), line);
    }),
  ],
  { tolerant: ['user'], lax: ['misc_path'] },
);

const fileCheck = table<CheckerDraft>(
  'FILE_CHECK',
  [
    value('track_file', word, set('trackFile'), U),
    value(
      'weight',
      {
        text: '-2147483647..2147483647 [reverse|noreverse]',
        least: 1,
        read(line: Line) {
          const [, given = '', sense] = line.words;
          const made: { weight?: number; reverse?: boolean } = {};
          const number = /^[+-]?\d+$/.test(given) ? Number(given) : Number.NaN;
          if (Math.abs(number) <= LARGEST_INT) made.weight = number;
          else
            line.report(
              'invalid-number',
              `'weight': '${given}' is no number of the range ±${LARGEST_INT}, ignored`,
            );
          if (sense === 'reverse' || sense === 'noreverse') made.reverse = sense === 'reverse';
          else if (sense !== undefined) line.report('error', `'weight': unknown word '${sense}'`);
          return made;
        },
      } as Shape<{ weight?: number; reverse?: boolean }>,
      (target: CheckerDraft, read) => {
        Object.assign(target, read);
      },
      U,
    ),
  ],
  { tolerant: ['weight'] },
);

const bfdCheck = table<CheckerDraft>(
  'BFD_CHECK',
  [value('name', word, set('name')), value('alpha', bool, set('alpha'))],
  { tolerant: ['name'], once: ['name'] },
);

function checker(
  kind: CheckerKind,
  keywords: ReturnType<typeof table<CheckerDraft>>,
  spec: Spec = {},
): Keyword<RealServerDraft> {
  return block(
    kind,
    {
      table: keywords,
      begin(target: RealServerDraft, line) {
        const made: CheckerDraft = { kind, place: line.reader.place };
        target.checkers.push(made);
        return made;
      },
    },
    spec,
  );
}

/** The blocks of a real server that say how it is checked. */
export const checkerKeywords: Keyword<RealServerDraft>[] = [
  checker('MISC_CHECK', miscCheck),
  checker('SMTP_CHECK', smtpCheck),
  checker('TCP_CHECK', tcpCheck),
  checker('UDP_CHECK', udpCheck),
  checker('PING_CHECK', pingCheck, U),
  checker('HTTP_GET', httpCheck('HTTP_GET')),
  checker('SSL_GET', httpCheck('SSL_GET')),
  checker('DNS_CHECK', dnsCheck),
  checker('FILE_CHECK', fileCheck, U),
  checker('BFD_CHECK', bfdCheck),
];
