// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the language under test writes its names like this
import { deepEqual, equal } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Diagnostics } from '../../../keepalived/grammar/diagnostics.js';
import { Reader } from '../../../keepalived/grammar/reader.js';

const noChecks = { read: false, match: false, wildcardMatch: false, braceMatch: false };

/** What comes out of a text: words of lines joined with blanks, braces as they are. */
function read(text: string, configId = 'main', dialect: 'auto' | 'upstream' = 'auto') {
  const diagnostics = new Diagnostics();
  const reader = new Reader({ configId, includeChecks: { ...noChecks }, dialect }, diagnostics);
  reader.open('/etc/test.conf', text);
  return { items: drain(reader), diagnostics, reader };
}

function drain(reader: Reader): string[] {
  const items: string[] = [];
  for (let kind = reader.next(); kind !== 'end'; kind = reader.next()) {
    items.push(kind === 'line' ? reader.words.join('|') : kind === 'open' ? '{' : '}');
  }
  return items;
}

describe('reading lines', () => {
  const golden: [name: string, text: string, items: string[]][] = [
    ['a comment may begin inside a word', 'aaa#bbb\nccc!ddd', ['aaa', 'ccc']],
    ['an escaped comment character stays', 'aaa\\#bbb\\!ccc', ['aaa#bbb!ccc']],
    ['quotes protect comment characters and blanks', '"aaa#b b" x', ['aaa#b b|x']],
    ['single quotes do not', "x 'a#b'", ["x|'a"]],
    ['a quote inside a word begins another word', 'aaa"bbb"ccc', ['aaa|bbb|ccc']],
    ['an empty string is a word', 'a "" b', ['a||b']],
    ['braces stand alone wherever they are', 'x y{ z }w', ['x|y', '{', 'z', '}', 'w']],
    ['a brace in quotes is text', 'x "{" y', ['x|{|y']],
    ['carriage returns are blanks', 'a b\r\nc\r\n', ['a|b', 'c']],
    ['there is no continuation of lines', 'aaa \\\nbbb', ['aaa\\', 'bbb']],
    ['a definition is used with and without braces', '$A=1 2\nx $A y ${A}z "${A}"', ['x|1|2|y|1|2z|1 2']],
    ['a definition may be followed by a comma', '$V=7\nx $V,zz ($V)', ['x|7,zz|(7)']],
    ['an unknown name stays', 'x $nothing y', ['x|$nothing|y']],
    ['a blank before the equals sign makes no definition', '$A =1', ['$A|=1']],
    ['definitions are expanded late', '$A=$B\n$B=1\nx $A\n$B=2\nx $A', ['x|1', 'x|2']],
    ['a definition may bring a comment', '$A=1 # no\nx $A\n$B="a#b"\ny $B', ['x|1', 'y|a#b']],
    ['several lines', '$M= \\\n first \\\n second { \\\n }\n$M', ['first', 'second', '{', '}']],
    ['several lines after other words', '$M=one \\\n two\nx $M', ['x|one', 'two']],
    ['blank lines inside are dropped', '$M= \\\n\n a \\\n\n b\n$M', ['a', 'b']],
    ['conditions inside', '$M= \\\n @main yes \\\n @other no \\\n @^main neither\n$M', ['yes']],
    ['a condition keeps its line', '@main a b\n@other c\n@^main d\n@^other e', ['a|b', 'e']],
    ['a condition alone is nothing', '@main\nx', ['x']],
    ['a condition on a definition', '$P=1\n@main $P=2\nx $P', ['x|2']],
    ['a condition on a brace', 'a {\n@main }\n@other }\nb', ['a', '{', '}', 'b']],
    ['a condition that a definition brings', '$C=@main\n$C x', ['x']],
    ['the instance name', 'x ${_INSTANCE}', ['x|main']],
    ['comment characters by name', 'x "${_HASH}${_BANG}"', ['x|#!']],
    ['a sequence', '~SEQ(i, 1, 3) ip 10.0.0.$i', ['ip|10.0.0.1', 'ip|10.0.0.2', 'ip|10.0.0.3']],
    ['a sequence to its only number', '~SEQ(i, 2) x$i', ['x1', 'x2']],
    ['a sequence downwards', '~SEQ(i, 3, -2, -1) x $i', ['x|3', 'x|1', 'x|-1']],
    ['a sequence in other bases', '~SEQ(i, 0x8, 011) x $i', ['x|8', 'x|9']],
    ['a hexadecimal sequence', '~SEQx(i, 9, 11) x $i', ['x|9', 'x|a', 'x|b']],
    [
      'sequences nest, the left one outside',
      '~SEQ(a,1,2) ~SEQ(b,1,2) x $a $b',
      ['x|1|1', 'x|1|2', 'x|2|1', 'x|2|2'],
    ],
    ['a sequence over a block', '~SEQ(i,1,2) s$i { x }', ['s1', '{', 'x', '}', 's2', '{', 'x', '}']],
    ['a sequence with definitions in it', '$N=2\n~SEQ(i, $N) x $i', ['x|1', 'x|2']],
    ['a list', '~LST(v, a, b c) x $v', ['x|a', 'x|b|c']],
    ['a list of several names', '~LST({a,b},{1,2},{3}) x $a "${b}"', ['x|1|2', 'x|3|']],
    ['the variable of a sequence is gone afterwards', '$i=old\n~SEQ(i,1,1) x $i\nx $i', ['x|1', 'x|old']],
  ];
  for (const [name, text, items] of golden) {
    it(name, () => {
      const { items: found, diagnostics } = read(text);
      deepEqual(found, items);
      deepEqual(
        diagnostics.findings.filter((finding) => finding.kind !== 'note'),
        [],
      );
    });
  }

  it('the short way and the long way through a line come to the same', () => {
    // A definition that is never used forces nothing; `$$` forces the long way for the whole line.
    const plain = ['a b c', ' x  {', 'y { z', '} }', 'k v # c', 'one\ttwo', 'p{q}r', '!only', 'tail '];
    for (const line of plain) {
      const short = read(line).items;
      const long = read(`${line.replace(/(#|!).*$/, '')} "quoted"`.replace(/^(\s*)"quoted"$/, '')).items;
      const joined = long
        .filter((item) => item !== 'quoted')
        .map((item) => item.replace(/\|?quoted$/, ''))
        .filter((item) => item !== '');
      deepEqual(short, joined, line);
    }
  });

  it('an unclosed quote is said', () => {
    const { diagnostics } = read('x "abc\ny');
    equal(diagnostics.findings[0]?.kind, 'unmatched-quote');
    equal(diagnostics.findings[0]?.line, 1);
  });

  it('a line that is too long is left out, its rest is a line of its own', () => {
    const { items, diagnostics } = read(`${'a'.repeat(1023)}rest of it\nb`);
    deepEqual(items, ['rest|of|it', 'b']);
    equal(diagnostics.findings.length, 1);
  });

  it('a name in braces without definition does not tear the block apart', () => {
    const { items, diagnostics } = read('block {\n x ${NOPE} y\n}\nz');
    deepEqual(items, ['block', '{', 'x|${NOPE}|y', '}', 'z']);
    equal(diagnostics.findings[0]?.kind, 'error');
  });

  it('a definition that refers to itself ends', () => {
    const { items, diagnostics } = read('$A=$A\nx $A\ny');
    deepEqual(items, ['y']);
    equal(diagnostics.findings.length, 1);
  });

  it('a sequence that would never end is refused', () => {
    const { items, diagnostics } = read('~SEQ(i, 1, 4000000000) x $i\n~SEQ(i, 1, -1, 5) y\n~LST(a) z');
    deepEqual(items, []);
    equal(diagnostics.findings.length, 3);
  });

  it('random numbers follow their seed as the C library makes them', () => {
    const { reader } = read('');
    reader.definitions.seed(1);
    // The first numbers of random() after srandom(1).
    const numbers = [1804289383, 846930886, 1681692777, 1714636915];
    for (const number of numbers) {
      equal(reader.definitions.substitute('${_RANDOM 0 2147483646}').text, String(number % 2147483647));
    }
    const { text } = reader.definitions.substitute('${_RANDOM 5 5}');
    equal(text, '5');
  });
});

describe('include', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), `include-${process.pid}-`));
    mkdirSync(join(folder, 'sub'));
    writeFileSync(join(folder, 'a.conf'), 'in a\n');
    writeFileSync(join(folder, 'b.conf'), 'in b\ninclude sub/*.inc\n');
    writeFileSync(join(folder, 'sub', 'one.inc'), 'one ${_PWD}\n');
    writeFileSync(join(folder, 'sub', 'two.inc'), 'two {\n');
    writeFileSync(join(folder, 'run.conf'), 'never\n', { mode: 0o755 });
    writeFileSync(join(folder, 'self.conf'), 'again\ninclude self.conf\n');
  });
  after(() => rmSync(folder, { recursive: true }));

  function main(text: string, checks = noChecks) {
    const diagnostics = new Diagnostics();
    const reader = new Reader(
      { configId: 'main', includeChecks: { ...checks }, dialect: 'auto' },
      diagnostics,
    );
    reader.open(join(folder, 'main.conf'), text);
    return { items: drain(reader), diagnostics, reader };
  }

  it('reads what matches, in order, from the folder of the file that includes', () => {
    const { items, reader } = main('x\ninclude [ab].conf\ny');
    deepEqual(items, ['x', 'in|a', 'in|b', `one|${join(folder, 'sub')}`, 'two', '{', 'y']);
    equal(reader.files.length, 5);
  });

  it('works inside blocks and in the middle of a line', () => {
    deepEqual(main('block {\ninclude a.conf\n}').items, ['block', '{', 'in|a', '}']);
    deepEqual(main('block { include a.conf\n}').items, ['block', '{', 'in|a', '}']);
  });

  it('takes braces as alternatives', () => {
    deepEqual(main('include {b,a}.conf').items.slice(0, 2), ['in|b', `one|${join(folder, 'sub')}`]);
  });

  it('takes quotes as DPVS does', () => {
    deepEqual(main('include "a.conf"').items, ['in|a']);
  });

  it('says what it leaves out; only the strict forms count', () => {
    const { items, diagnostics } = main('include run.conf\ninclude nothing\ninclude *.nothing');
    deepEqual(items, []);
    equal(diagnostics.exitCode('upstream'), 0);
    equal(diagnostics.findings.length, 3);
    equal(main('includer run.conf').diagnostics.exitCode('upstream'), 4);
    equal(main('includem nothing').diagnostics.exitCode('upstream'), 4);
    equal(main('includem *.nothing').diagnostics.exitCode('upstream'), 0);
    equal(main('includew *.nothing').diagnostics.exitCode('upstream'), 6);
    equal(main('includeb {a,nothing}.conf').diagnostics.exitCode('upstream'), 4);
    equal(main('includea *.nothing').diagnostics.exitCode('upstream'), 6);
  });

  it('ends when a file includes itself', () => {
    const { items, diagnostics } = main('include self.conf');
    equal(items.length, 49);
    equal(diagnostics.findings.length, 1);
  });
});
