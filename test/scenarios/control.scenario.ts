import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { DpvsdClient } from '../../dpvsd/client.js';
import { Table } from '../../dpvsd/generated/control.js';
import { bin } from '../../lab/director.js';
import type { Lab } from '../../lab/lab.js';
import { failures, Traffic } from '../../lab/traffic-plan.js';
import { assertAllAnswered, everyTarget, onLab, seconds } from './support.js';

/** Starts a tool on the lab's dataplane and kills it after some milliseconds, whatever it is doing. */
async function killed(
  lab: Lab,
  tool: 'dpip' | 'ipvsadm',
  args: string[],
  after: number,
  input = '',
): Promise<void> {
  const child = spawn(bin(tool), args, {
    env: { ...process.env, DPVS_IPC_FILE: lab.record.ipc },
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const ended = once(child, 'exit');
  child.stdin?.on('error', () => {});
  child.stdin?.write(input);
  await seconds(after / 1000);
  child.kill('SIGKILL');
  await ended;
}

onLab({ title: 'control processes killed under load', workers: 2 }, (stage) => {
  let traffic: Traffic;
  const begin = () => {
    traffic = new Traffic(stage.lab.client, {
      targets: everyTarget(stage.lab),
      perSecond: 150,
      seconds: 60,
      limit: 10_000,
    });
  };
  const end = async () => {
    await traffic.stop();
    assertAllAnswered(traffic.total, 100);
  };

  stage.it('kill -9 of dpip and ipvsadm at any moment costs no request', async () => {
    const { lab } = stage;
    begin();
    const lines = Array.from(
      { length: 5000 },
      (_, index) => `-A -t 10.9.${index >> 8}.${index & 255}:80 -s rr\n`,
    ).join('');
    for (let round = 0; round < 6; round++) {
      // Node needs a while to start; the later ones are killed in the midst of their work.
      await killed(lab, 'ipvsadm', ['-R'], 80 * (round + 1), lines);
      await killed(lab, 'ipvsadm', ['-ln', '--stats'], 60 * (round + 1));
      await killed(lab, 'dpip', ['-s', '-i', '1', '-c', '100', 'link', 'show'], 100 * (round + 1));
    }
    assert.equal(failures(traffic.total), 0);
    // The dataplane still listens, and a batch that was cut short left nothing or all of it.
    const { stdout } = await lab.director.attemptIpvsadm(['-ln']);
    const left = stdout.split('\n').filter((line) => line.startsWith('TCP  10.9.')).length;
    assert.ok([0, 5000].includes(left), `${left} services of an unfinished batch`);
    await end();
  });

  stage.it('statistics read ten times a second by several readers cost no request', async () => {
    const { lab } = stage;
    begin();
    const tables = [Table.TABLE_SERVICES, Table.TABLE_COUNTERS, Table.TABLE_WORKERS, Table.TABLE_LINKS];
    const read = async (): Promise<number> => {
      const client = await DpvsdClient.connect({ path: lab.record.ipc, client: 'test' });
      let rows = 0;
      for (let round = 0; round < 30; round++) {
        for (const table of tables) for await (const _ of client.get(table)) rows++;
        await seconds(0.1);
      }
      client.close();
      return rows;
    };
    for (const rows of await Promise.all([read(), read(), read()])) assert.ok(rows > 30 * tables.length);
    await end();
  });

  stage.it('garbage, half messages, silent and slow clients cost no request', async () => {
    const { lab } = stage;
    begin();
    const sockets: Socket[] = [];
    const open = async () => {
      const socket = connect(lab.record.ipc);
      socket.on('error', () => {});
      sockets.push(socket);
      await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
      return socket;
    };
    try {
      // A hundred that say nothing, then some that lie.
      for (let count = 0; count < 100; count++) await open();
      for (const bytes of [
        Buffer.from([0, 0, 0, 0]),
        Buffer.from([255, 255, 255, 255]),
        Buffer.from([0, 0, 0, 5, 1, 2, 3, 4, 5]),
        Buffer.from([0, 0, 1, 0, 8, 1]),
        Buffer.alloc(65536, 0xa5),
      ]) {
        const socket = await open();
        socket.write(bytes);
        // Nothing is read any more from here on.
        socket.pause();
      }
      await lab.director.attemptIpvsadm(['-ln']);
      await seconds(0.5);
    } finally {
      for (const socket of sockets) socket.destroy();
    }
    const { code } = await lab.director.attemptIpvsadm(['-ln']);
    assert.equal(code, 0);
    await end();
  });
});
