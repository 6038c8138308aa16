import { deepEqual, equal } from 'node:assert/strict';
import { command as readCommand } from '../../../keepalived/grammar/shapes.js';
import { splitQuoted, splitWords } from '../../../keepalived/grammar/words.js';
import { command } from '../../../keepalived/write/text.js';
import { Random } from '../random.js';

describe('the two ways to split a line', () => {
  it('standard: double quotes only, no escapes', () => {
    deepEqual(splitWords('a "b c" d"e"f \'g h\' i\\ j').words, [
      'a',
      'b c',
      'd',
      'e',
      'f',
      "'g",
      "h'",
      'i\\',
      'j',
    ]);
    equal(splitWords('a "b').unmatched, true);
  });

  it('quoted: both quotes, pieces join, escapes resolve', () => {
    deepEqual(splitQuoted('abcd" efg h jkl "mnop', 'resolve').words, ['abcd efg h jkl mnop']);
    deepEqual(splitQuoted('a \'b "c\' "d \'e"', 'resolve').words, ['a', 'b "c', "d 'e"]);
    deepEqual(splitQuoted('\\a\\b\\E\\f\\n\\r\\t\\v\\101\\x41\\cA\\q\\ x', 'resolve').words, [
      '\x07\b\x1b\f\n\r\t\vAA\x01q x',
    ]);
    equal(splitQuoted("a 'b", 'resolve').unmatched, true);
  });

  it('a command is split twice: quotes around it, then its own words', () => {
    const pieces = splitQuoted(`notify "/x/y.sh 'a b' c" user group`, 'keep').words;
    deepEqual(pieces, ['notify', "/x/y.sh 'a b' c", 'user', 'group']);
    deepEqual(readCommand(pieces[1] as string, '/'), ['/x/y.sh', 'a b', 'c']);
  });

  it('relative programs start from the folder of the file', () => {
    deepEqual(readCommand('bin/check x', '/etc/keepalived'), ['/etc/keepalived/bin/check', 'x']);
    deepEqual(readCommand('check x', '/etc/keepalived'), ['check', 'x']);
  });

  it('any command comes back from what is written for it', () => {
    const random = new Random(11);
    for (let round = 0; round < 500; round++) {
      const argv = [
        '/bin/prog',
        ...Array.from({ length: random.within(0, 4) }, () =>
          Array.from({ length: random.within(0, 6) }, () => String.fromCharCode(random.within(1, 255))).join(
            '',
          ),
        ),
      ];
      const pieces = splitQuoted(command({ argv, user: 'u', group: 'g' }), 'keep').words;
      deepEqual(readCommand(pieces[0] as string, '/'), argv);
      deepEqual(pieces.slice(1), ['u', 'g']);
    }
  });
});
