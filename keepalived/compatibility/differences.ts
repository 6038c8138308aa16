// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the language described here writes its names like this
/** A configuration on which we and Debian's keepalived 2.2.7 do not return the same from `-t`, and why. */
export interface Difference {
  title: string;
  /** The file. */
  example: string;
  /** Exit code of keepalived 2.2.7; a signal when it crashes. */
  theirs: number | string;
  ours: number;
  reason: string;
}

const instance = (...lines: string[]) =>
  [
    'vrrp_instance A {',
    ' interface eth0',
    ' virtual_router_id 1',
    ' virtual_ipaddress {',
    '  10.1.2.3',
    ' }',
    ...lines,
    '}',
  ].join('\n');
const realServer = (...lines: string[]) =>
  [
    'virtual_server 10.1.1.1 80 {',
    ' protocol TCP',
    ' lb_algo rr',
    ' lb_kind NAT',
    ' real_server 10.1.1.2 80 {',
    ...lines,
    ' }',
    '}',
  ].join('\n');
const globals = (...lines: string[]) => ['global_defs {', ...lines, '}'].join('\n');

/** Every known difference in the exit code of `-t`. A test runs both programs on each example. */
export const differences: Difference[] = [
  {
    title: 'Keywords newer than 2.2.7',
    example: instance(' down_timer_adverts 3', ' owner_ignore_adverts'),
    theirs: 5,
    ours: 0,
    reason: 'the language is that of upstream 2.4.3; the table of keywords says which are newer',
  },
  {
    title: 'Keywords of DPVS',
    example: realServer().replace(' lb_kind NAT', ' lb_kind FNAT\n syn_proxy'),
    theirs: 5,
    ours: 0,
    reason: 'the language of DPVS is understood beside that of upstream',
  },
  {
    title: 'UDP_CHECK payloads in text',
    example: realServer('  UDP_CHECK {', '   payload hello', '   require_reply hello ok', '  }'),
    theirs: 5,
    ours: 0,
    reason:
      'without `dialect upstream`, text that is no hexadecimal is text, as in DPVS; upstream would send its default payload',
  },
  {
    title: 'Booleans behind vrrp_strict and vrrp_skip_check_adv_addr',
    example: globals(' vrrp_strict perhaps'),
    theirs: 0,
    ours: 5,
    reason:
      'in 2.2.7 they are flags that ignore what follows, so that `vrrp_strict off` switches it on; since 2.4 they take a value, which must be one',
  },
  {
    title: 'Decimal intervals of scripts',
    example: `vrrp_script s {\n script "/nonexistent/probe"\n interval 0.5\n}`,
    theirs: 5,
    ours: 0,
    reason: 'milliseconds are allowed since 2.3.2',
  },
  {
    title: 'Names of VMACs behind `name`',
    example: instance(' use_vmac name vmac7'),
    theirs: 5,
    ours: 0,
    reason: 'the form with `name` came with 2.3.0',
  },
  {
    title: 'vrrp_iptables and vrrp_ipsets',
    example: globals(' vrrp_iptables'),
    theirs: 5,
    ours: 0,
    reason:
      "Debian's keepalived is built without iptables and ipsets and converts the settings to nftables with an error; we take them as they are",
  },
  {
    title: 'Names of mail servers that do not resolve',
    example: globals(' smtp_server no-such-host.invalid'),
    theirs: 5,
    ours: 0,
    reason:
      'names are looked up when mail is sent: a name server that is down at boot must not change the configuration',
  },
  {
    title: 'Blocks of entries whose braces are missing',
    example: [
      'vrrp_instance A {',
      ' interface eth0',
      ' virtual_router_id 1',
      ' virtual_ipaddress {',
      '  10.1.2.3',
      ' }',
      ' track_script',
      '}',
    ].join('\n'),
    theirs: 0,
    ours: 5,
    reason:
      '2.2.7 takes the brace of the block around it for the end of the list and says nothing; we say that the braces are missing',
  },
  {
    title: 'A single port in a rule',
    example: instance(' virtual_rules {', '  from 10.1.0.0/16 dport 80 table 100 preference 100', ' }'),
    theirs: 5,
    ours: 0,
    reason: '2.2.7 only takes a range, `dport 80-80`; a single port means just that',
  },
  {
    title: 'HTTP_GET without url',
    example: realServer('  HTTP_GET {', '  }'),
    theirs: 'SIGSEGV',
    ours: 5,
    reason: '2.2.7 reports it and then crashes; here the check is left out',
  },
  {
    title: 'neighbor_ip without an address',
    example: 'bfd_instance b {\n neighbor_ip\n}',
    theirs: 'SIGSEGV',
    ours: 2,
    reason: '2.2.7 crashes; every other keyword without its argument ends it with 2, as this one does here',
  },
];

/** Deliberate differences that the exit code does not show. */
export const improvements: { title: string; text: string }[] = [
  {
    title: 'Unknown blocks',
    text: 'The body of an unknown block belongs to the block and is skipped with it. keepalived reads it as part of the block around it and lets its brace close that block, so that one misspelt word can take the rest of a vrrp_instance away.',
  },
  {
    title: 'Undefined names in braces',
    text: 'The use of `${NAME}` without definition stays as it is and is reported. keepalived tears it apart at its braces and closes the block around it.',
  },
  {
    title: 'Missing interfaces and incomplete instances',
    text: 'A vrrp_instance that cannot run (no virtual_router_id, no interface) is left out and reported, the others run. keepalived ends the whole daemon. An instance whose interface does not exist yet waits for it, with or without `dynamic_interfaces`.',
  },
  {
    title: 'Reload of a broken file',
    text: 'A reload is refused, and everything stays as it is, when the file cannot be read or is empty, when a keyword has no argument, or when braces or quotes do not match; with `reload_check_config` also for any other finding that counts. keepalived takes over what it understood.',
  },
  {
    title: 'Several findings for one',
    text: 'Each finding is printed once; keepalived prints it once for each of its processes. Findings name file, line and keyword and suggest the word that was probably meant. After a keyword without argument the rest of the file is still checked.',
  },
  {
    title: 'include with quotes',
    text: 'With `dialect auto` or `dpvs` the pattern of an include line may stand in double quotes, as in DPVS; upstream looks for a file with the quotes in its name.',
  },
  {
    title: 'FIFO lines end in a newline and nothing else',
    text: 'keepalived ends the lines of virtual and real servers with a NUL byte behind the newline. It is left out: shells that read line by line drop it anyway, other programs stumble over it.',
  },
  {
    title: 'Dump files',
    text: 'Dumps are written to a new file which then takes the place of the old one: a link of that name in /tmp is replaced, not followed. `stats_dump_file` and `json_dump_file` are honoured; upstream 2.4.3 reads and ignores them.',
  },
  {
    title: 'Exit codes',
    text: 'The manual page of keepalived says something else than its code; the codes here are those of the code: 0, 1 fatal, 2 configuration; for `-t` 0, 2 missing argument, 4 fatal, 5 any other finding, 6 script security; with `dialect dpvs` 0, 3, 3, 4, 5.',
  },
  {
    title: 'Children that end',
    text: 'keepalived ends altogether when a child ends with 1, 2 or 4. Here every part is started again after a pause that grows from 0.1 to 30 seconds; `--dont-respawn` ends everything when one ends.',
  },
  {
    title: 'Parts that hang',
    text: 'A part that does not answer for 30 seconds (VRRP and BFD: 10) is killed and started again; keepalived would not notice.',
  },
  {
    title: 'BFD at the start of VRRP',
    text: 'An instance that tracks a BFD session without weight begins with the first word about it: at once when the session was there before, after 3 seconds at most otherwise. keepalived is in FAULT until the session comes up, and stays there when only its VRRP process was started again.',
  },
  {
    title: 'Relative payloads of the two dialects',
    text: 'What `payload` and `require_reply` mean is shown by `--dump-conf` in hexadecimal, and what could be meant either way is reported (without counting for the exit code).',
  },
];
