import assert from 'node:assert/strict';
import { compilePattern } from '../../../healthcheck/pcre.js';

function found(pattern: string, text: string, options: string[] = []): boolean {
  const compiled = compilePattern(pattern, options);
  assert.ok(compiled instanceof RegExp, `${pattern}: ${JSON.stringify(compiled)}`);
  return compiled.test(text);
}

describe('patterns of HTTP_GET', () => {
  it('mean what they mean in PCRE2', () => {
    const cases: [pattern: string, yes: string, no: string, options?: string[]][] = [
      ['\\Aab', 'abc', 'xab'],
      ['bc\\z', 'abc', 'abc\n'],
      ['bc\\Z', 'abc\n', 'abcd'],
      ['(?i)HELLO', 'say hello', 'help'],
      ['hello', 'HELLO', 'help', ['caseless']],
      ['a.b', 'a\nb', 'ab', ['dotall']],
      ['^b', 'a\nb', 'ab', ['multiline']],
      ['a b # note', 'ab', 'a b', ['extended']],
      ['[[:digit:]]+x', '12x', 'x'],
      ['[]a]+', ']', 'b'],
      ['\\Q.*\\E', 'x.*x', 'xyz'],
      ['(?P<word>\\w+)-\\k<word>', 'ab-ab', 'ab-cd'],
      ['a++b', 'aab', 'ab'.slice(1)],
      ['a\\++b', 'a++b', 'aab'],
      ['\\hx', '\tx', 'nx'],
      ['(?#note)ab', 'ab', 'note'],
      ['a.c', 'a.c', 'abc', ['literal']],
      ['bc', 'bcd', 'abc', ['anchored']],
      ['bc', 'abc', 'bcd', ['endanchored']],
      ['^\\w$', 'x', 'é'],
    ];
    for (const [pattern, yes, no, options] of cases) {
      assert.equal(found(pattern, yes, options), true, `${pattern} on ${yes}`);
      assert.equal(found(pattern, no, options), false, `${pattern} on ${no}`);
    }
  });

  it('are refused by name when they cannot be had', () => {
    for (const [pattern, options, reason] of [
      ['(?>a+)b', [], '(?>'],
      ['a\\Kb', [], '\\K'],
      ['(?(1)a|b)', [], '(?('],
      ['(', [], 'Unterminated group'],
      ['a', ['ungreedy'], 'ungreedy'],
    ] as const) {
      const compiled = compilePattern(pattern, options);
      assert.ok(!(compiled instanceof RegExp));
      assert.ok(compiled.error.includes(reason), compiled.error);
    }
  });
});
