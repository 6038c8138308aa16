import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { fitted, Screen, wrapped } from '../../../lab/screen.js';

class FakeTerminal extends EventEmitter {
  columns = 20;
  rows = 4;
  written: string[] = [];
  write(text: string): void {
    this.written.push(text);
  }
  resize(columns: number, rows: number): void {
    [this.columns, this.rows] = [columns, rows];
    this.emit('resize');
  }
  /** Lines of the last drawing. */
  get shown(): string[] {
    const text = this.written.at(-1) ?? '';
    assert.ok(text.startsWith('\x1b[H') && text.endsWith('\x1b[J'), JSON.stringify(text));
    return text
      .slice(3, -3)
      .split('\r\n')
      .map((line) => line.replace(/\x1b\[K$/, ''));
  }
}

describe('lab: the live screen', () => {
  it('cuts what does not fit, and keeps the last line', () => {
    assert.deepEqual(fitted(['one', 'two', 'three'], 'end', 80, 24), ['one', 'two', 'three', 'end']);
    assert.deepEqual(fitted(['one', 'two', 'three'], 'end', 80, 3), ['one', 'two', 'end']);
    assert.deepEqual(fitted(['one', 'two'], 'end', 80, 1), ['end']);
    assert.deepEqual(fitted(['0123456789', '01234567890'], 'end', 10, 9), [
      '0123456789',
      '012345678>',
      'end',
    ]);
  });

  it('wraps between words', () => {
    assert.deepEqual(wrapped(['aa 1', 'bb 2', 'cc 3'], '  ', 12, '..'), ['aa 1  bb 2', '..cc 3']);
    assert.deepEqual(wrapped(['longer than that', 'b'], ' ', 5, ''), ['longer than that', 'b']);
    assert.deepEqual(wrapped([], ' ', 5, ''), []);
  });

  it('draws again for another size, and gives the terminal back', () => {
    const terminal = new FakeTerminal();
    const screen = new Screen(terminal);
    assert.equal(Screen.open, 1);
    screen.draw((columns, rows) => [`${columns}x${rows}`, 'a', 'b', 'c'], 'foot');
    assert.deepEqual(terminal.shown, ['20x3', 'a', 'b', 'foot']);
    terminal.resize(10, 6);
    assert.deepEqual(terminal.shown, ['10x5', 'a', 'b', 'c', 'foot']);
    terminal.resize(3, 2);
    assert.deepEqual(terminal.shown, ['3x1', 'fo>']);
    screen.close();
    assert.equal(Screen.open, 0);
    assert.equal(terminal.written[0], '\x1b[?1049h\x1b[?25l');
    assert.equal(terminal.written.at(-1), '\x1b[?25h\x1b[?1049l');
    assert.equal(terminal.listenerCount('resize'), 0);
  });
});
