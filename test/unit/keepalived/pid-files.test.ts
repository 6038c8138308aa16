import { equal } from 'node:assert/strict';
import { type Options, readOptions } from '../../../keepalived/options.js';
import { type ParseOptions, parse } from '../../../keepalived/parse.js';
import { type PidFileOf, pidFile } from '../../../keepalived/pid-files.js';

const surroundings: ParseOptions = { hostname: 'node.example.net', interfaceExists: () => true };
const { global } = parse('/one.conf', { ...surroundings, text: '' }).model;

/** Where a process that was started with these words has its pid. */
const at = (of: PidFileOf, ...argv: string[]) => pidFile(of, readOptions(argv) as Options, global);

describe('pid files', () => {
  it('are those of keepalived', () => {
    equal(at('parent'), '/run/keepalived.pid');
    equal(at('healthcheck'), '/run/checkers.pid');
    equal(at('ospf-bridge'), '/run/ospf.pid');
    equal(at('healthcheck', '-c', '/x/c.pid'), '/x/c.pid');
    equal(at('healthcheck', '-p', '/x/one.pid'), '/run/checkers.pid');
  });

  it('of bridges differ where those of front doors do', () => {
    equal(at('ospf-bridge', '-p', '/x/one.pid'), '/x/one-ospf.pid');
    equal(at('ospf-bridge', '-p', '/x/two'), '/x/two-ospf.pid');
  });
});
