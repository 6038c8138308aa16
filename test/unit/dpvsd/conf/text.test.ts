import assert from 'node:assert/strict';
import type { Problem } from '../../../../dpvsd/conf/problem.js';
import { readStatements, type Statement } from '../../../../dpvsd/conf/text.js';

function read(text: string): { shape: unknown; problems: Problem[] } {
  const problems: Problem[] = [];
  const plain = (list: Statement[]): unknown =>
    list.map(({ words, block }) => (block ? [words.join(' '), plain(block)] : words.join(' ')));
  return { shape: plain(readStatements(text, problems)), problems };
}

describe('text of dpvs.conf', () => {
  it('reads comments of all three kinds as nothing', () => {
    const { shape, problems } = read(`
! a comment <with brackets
# another }
<init> worker cpu0 { ! behind a brace
    cpu_id 0 <which one> # and behind a value
    <init> type <kind> master
}
`);
    assert.deepEqual(shape, [['worker cpu0', ['cpu_id 0', 'type master']]]);
    assert.deepEqual(problems, []);
  });

  it('takes braces on their own lines, several on one line, and none at all between quotes', () => {
    const { shape, problems } = read('a\n{\n b { c 1 } d { } }\ne "x { ! # y"z\nf a#b!c');
    assert.deepEqual(shape, [
      [
        'a',
        [
          ['b', ['c 1']],
          ['d', []],
        ],
      ],
      'e x { ! # yz',
      'f a#b!c',
    ]);
    assert.deepEqual(problems, []);
  });

  it('counts lines, also with the line ends of other systems', () => {
    const statements = readStatements('\r\na {\r\n b 1\r\n}\r\n', []);
    assert.equal(statements[0]?.line, 2);
    assert.equal(statements[0]?.block?.[0]?.line, 3);
  });

  for (const [text, line, what] of [
    ['a {\n b {\n }\n', 1, 'the block "a {" is not closed'],
    ['a 1\n}\nb 2', 2, "'}' without '{'"],
    ['\n{\n}\n', 2, "'{' without a name"],
    ['a <b\nc 1', 1, "'<' without '>'"],
    ['a "b\nc 1', 1, 'a quote is not closed'],
  ] as const) {
    it(`says on line ${line}: ${what}`, () => {
      const { problems } = read(text);
      assert.equal(problems[0]?.what, what);
      assert.equal(problems[0]?.line, line);
    });
  }

  it('goes on behind a mistake', () => {
    const { shape } = read('a 1\n}\nb <2\nc 3');
    assert.deepEqual(shape, ['a 1', 'b', 'c 3']);
  });
});
