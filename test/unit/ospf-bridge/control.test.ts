import { equal, match, ok, rejects } from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { askBridge, ControlServer } from '../../../ospf-bridge/control.js';

describe('control socket of the bridge', () => {
  let folder: string;
  let path: string;
  let server: ControlServer | undefined;
  const complaints: string[] = [];
  const begin = async (text = 'yes') => {
    server = new ControlServer(
      path,
      async ({ command }) => {
        if (command === 'undrain') throw new Error('not so');
        return { ok: true, text };
      },
      (sentence) => complaints.push(sentence),
    );
    for (let attempt = 0; attempt < 200; attempt++) {
      try {
        return await askBridge(path, { command: 'drain', addresses: [], withdraw: false });
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
    throw new Error('it does not answer');
  };
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'control-'));
    path = join(folder, 'bridge.sock');
    complaints.length = 0;
  });
  afterEach(() => {
    server?.close();
    rmSync(folder, { recursive: true });
  });

  it('answers, tells errors in words, and is for root and its group alone', async () => {
    await begin();
    const refused = await askBridge(path, { command: 'undrain', addresses: [] });
    ok(!refused.ok && refused.error === 'not so');
    equal(statSync(path).mode & 0o777, 0o660);
  });

  it('takes the place of a killed one, and not of one that lives or of something else', async () => {
    await begin();
    const other = new ControlServer(
      path,
      async () => ({ ok: true }),
      (sentence) => complaints.push(sentence),
    );
    for (let attempt = 0; complaints.length === 0 && attempt < 500; attempt++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    match(complaints[0] ?? '', /belongs to another bridge that runs/);
    other.close();
  });

  it('rubbish is answered with an error; who never reads is left', async () => {
    await begin('x'.repeat(1 << 20));
    const rude = createConnection(path);
    rude.on('error', () => {});
    rude.pause();
    const closed = new Promise((resolve) => rude.on('close', resolve));
    for (let count = 0; count < 200; count++) rude.write('{"command":"status"}\n');
    // Whoever does not read sees the end only when it looks.
    await new Promise((resolve) => setTimeout(resolve, 500));
    rude.resume();
    await closed;
    ok(rude.bytesRead < 100 << 20, String(rude.bytesRead));
    const garbage = createConnection(path);
    const line = await new Promise<string>((resolve) => {
      garbage.once('data', (data) => resolve(data.toString()));
      garbage.write('}{\n');
    });
    garbage.destroy();
    match(line, /"ok":false/);
  });

  it('nobody there is told with what to do', async () => {
    await rejects(askBridge(path, { command: 'status' }), /no bridge answers at .*does keepalived run/);
    writeFileSync(path, '');
    await rejects(askBridge(path, { command: 'status' }), /ECONNREFUSED|ENOTSOCK/);
    rmSync(path);
    const silent = createServer((socket) => socket.resume().end());
    await new Promise<void>((resolve) => silent.listen(path, resolve));
    await rejects(askBridge(path, { command: 'status' }), /closed the connection without an answer/);
    await new Promise((resolve) => silent.close(resolve));
  });
});
