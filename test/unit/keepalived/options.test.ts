import { deepEqual, equal, match } from 'node:assert/strict';
import { helpText, type Options, readOptions } from '../../../keepalived/options.js';

function good(...argv: string[]): Options {
  const options = readOptions(argv);
  if ('error' in options) throw new Error(options.error);
  return options;
}

describe('the command line', () => {
  it('takes short options together and values attached or apart', () => {
    const options = good('-lnDDPf', '/x.conf', '-p/run/x.pid', '-S7', '-u', '022');
    equal(options.logConsole && options.dontFork && options.vrrp, true);
    equal(options.logDetail, 2);
    equal(options.file, '/x.conf');
    equal(options.pidFile, '/run/x.pid');
    equal(options.facility, 23);
    equal(options.umask, 0o22);
  });

  it('takes long options with =, apart, and shortened while they are unique', () => {
    equal(good('--use-file=/a').file, '/a');
    equal(good('--use-file', '/a').file, '/a');
    equal(good('--dont-fo').dontFork, true);
    match((readOptions(['--dont']) as { error: string }).error, /Unknown option/);
  });

  it('optional values must be attached', () => {
    equal(good('-t', '-f', '/x').configTest, '');
    equal(good('-t/log').configTest, '/log');
    equal(good('--config-test=/log').configTest, '/log');
    equal(good('-g').logFile, '/tmp/keepalived.log');
    deepEqual(good('-t', 'word').extra, ['word']);
  });

  it('knows every option of keepalived', () => {
    const long =
      'use-file vrrp check all log-console log-detail log-facility log-file flush-log-file no-syslog umask release-vips dont-release-vrrp dont-release-ipvs dont-respawn dont-fork dump-conf pid genhash address-monitoring snmp core-dump namespace config-id signum config-test config-fd ignore-sigint perf debug version no_bfd vrrp_pid checkers_pid bfd_pid snmp-agent-socket core-dump-pattern all-config help no-mem-check';
    for (const name of long.split(' ')) {
      const options = readOptions([`--${name}`, ...(/facility/.test(name) ? ['daemon'] : ['0'])]);
      equal('error' in options, false, `${name}: ${'error' in options ? options.error : ''}`);
    }
    for (const letter of 'vhlndDReGmPCVXaITBx') equal('error' in readOptions([`-${letter}`]), false, letter);
    for (const letter of 'fpisrcbA') equal('error' in readOptions([`-${letter}`, 'x']), false, letter);
  });

  it('says what is wrong', () => {
    deepEqual(readOptions(['-Q']), { error: 'Unknown option -Q' });
    deepEqual(readOptions(['-f']), { error: 'Missing option argument for -f' });
    deepEqual(readOptions(['-S', 'mail']), { error: "Invalid log facility 'mail'" });
    deepEqual(readOptions(['--vrrp=x']), { error: "option '--vrrp' doesn't allow an argument" });
  });

  it('describes itself', () => {
    match(helpText(), /-f, --use-file=FILE/);
  });
});
