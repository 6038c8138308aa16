import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FrontDoor, parseFor } from '../../../keepalived/front-door.js';
import { type Options, readOptions } from '../../../keepalived/options.js';
import { runningProcess } from '../../../keepalived/safe-file.js';
import { Log } from '../../../lib/log.js';
import { skipBecause } from '../../runner/skip.js';
import { Door, until } from './door.js';

describe('the front door in trouble', function () {
  this.timeout(120_000);
  let door: Door;
  let mounted = '';

  beforeEach(async () => {
    door = new Door();
    await door.serve();
  });
  afterEach(async () => {
    await door.stop();
    if (mounted) spawnSync('umount', ['-l', mounted]);
    mounted = '';
    await door.end();
  });

  /** A disk of 256 kB. @returns its folder */
  function smallDisk(test: Mocha.Context): string {
    const folder = door.at('disk');
    mkdirSync(folder);
    const done = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', folder]);
    if (done.status !== 0) skipBecause(test, 'a small disk needs the right to mount');
    mounted = folder;
    return folder;
  }

  function fill(folder: string): void {
    spawnSync('dd', ['if=/dev/zero', `of=${join(folder, 'filler')}`, 'bs=4k'], { stdio: 'ignore' });
    equal(Number(statSync(join(folder, 'filler')).size) > 100_000, true);
  }

  it('a full disk: everything works on, what cannot be written is said, nothing is left half written', async function () {
    const disk = smallDisk(this);
    const settings = ` config_save_dir ${disk}/saved\n state_dump_file ${disk}/\n reload_file ${disk}/reload`;
    door.configure(Door.globals(settings) + door.virtualServer(1));
    mkdirSync(join(disk, 'saved'));
    writeFileSync(join(disk, 'log'), '');
    fill(disk);
    const child = door.start([`-g${disk}/log`, '-p', `${disk}/k.pid`, '-c', `${disk}/c.pid`]);
    await door.logged(/no pid file for parent \(\d+\): ENOSPC/);
    await door.logged(/no pid file for healthcheck \(\d+\): ENOSPC/);
    await door.logged('dry-run: add server');

    door.configure(Door.globals(settings) + door.virtualServer(7));
    child.kill('SIGHUP');
    await door.logged('config_save_dir: ENOSPC');
    await door.logged('weight 7');
    child.kill('SIGUSR1');
    await door.logged(/dump \S+keepalived_check\.data: ENOSPC/);
    await door.logged(/dump \S+keepalived_parent\.data: ENOSPC/);
    deepEqual(readdirSync(join(disk, 'saved')), []);
    deepEqual(readdirSync(disk).sort(), ['filler', 'log', 'saved']);

    rmSync(join(disk, 'filler'));
    child.kill('SIGUSR1');
    await door.logged('Printing data of healthcheck');
    await door.logged('Printing data of parent');
    match(readFileSync(join(disk, 'keepalived_parent.data'), 'utf8'), /weight 7[\s\S]*\}\n$/);
    door.configure(Door.globals(settings) + door.virtualServer(9));
    child.kill('SIGHUP');
    await door.logged('weight 9');
    const saved = () => readdirSync(join(disk, 'saved')).filter((name) => name.endsWith('.after.model'));
    await until(
      () => door.output,
      () => saved().length === 1,
    );
    match(readFileSync(join(disk, 'log'), 'utf8'), /Keepalived\[\d+\]: \d+ log lines were lost: ENOSPC/);
    equal(await door.stop(), 0);
  });

  it('folders that are not there: said once each, and everything runs', async () => {
    const none = door.at('none');
    door.configure(
      Door.globals(` config_save_dir ${none}/saved/deeper\n state_dump_file ${none}/dumps/`) +
        door.virtualServer(1),
    );
    const child = door.start([`-g${none}/log`, '-p', `${none}/k.pid`, '-c', `${none}/c.pid`]);
    await door.logged('dry-run: add server');
    match(door.output, /Keepalived\[\d+\]: no log file: ENOENT.*none\/log/);
    match(door.output, /Keepalived_healthcheckers\[\d+\]: no log file: ENOENT/);
    match(door.output, /no pid file for parent \(\d+\): ENOENT/);
    child.kill('SIGHUP');
    await door.logged('config_save_dir: ENOENT');
    child.kill('SIGUSR1');
    await door.logged(/dump \S+keepalived_parent\.data: ENOENT/);
    equal(await door.stop(), 0);
  });

  it('a pid file that names a living stranger does not keep it from starting', async () => {
    const stranger = spawn('sleep', ['600']);
    try {
      writeFileSync(door.at('k.pid'), `${stranger.pid}\n`);
      equal(runningProcess(door.at('k.pid')), undefined);
      door.configure(Door.globals() + door.virtualServer(1));
      const child = door.start(door.pids('k', 'c'));
      await door.logged('dry-run: add server');
      equal(door.pid('k'), child.pid);
      equal(runningProcess(door.at('k.pid')), child.pid);
    } finally {
      stranger.kill('SIGKILL');
    }
  });

  it('a hundred reloads in a row disturb no check, and the last one holds', async () => {
    const globals = Door.globals();
    door.configure(globals + door.virtualServer(1));
    const child = door.start(door.pids('k', 'c'));
    await door.logged('dry-run: add server');
    const checker = door.pid('c');
    const files = () => readdirSync(`/proc/${checker}/fd`).length;
    await until(
      () => 'some checks',
      () => door.asked.length > 3,
    );
    const before = { files: files(), asked: door.asked.length };
    for (let round = 1; round <= 100; round++) {
      door.configure(globals + door.virtualServer(1 + (round % 2), round % 3 === 0 ? ' alpha' : ''));
      child.kill('SIGHUP');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    door.configure(globals + door.virtualServer(77));
    child.kill('SIGHUP');
    await door.logged('weight 77');
    await until(
      () => 'checks go on',
      () => door.asked.length > before.asked + 5,
    );
    equal(door.output.includes('Removing service'), false, door.output);
    equal(door.output.includes('failed'), false, door.output);
    equal(door.pid('c'), checker);
    ok(files() <= before.files + 2, `${files()} open files, ${before.files} before`);
    ok(door.output.split('Reloading ...').length > 3, 'reloads were many');
    equal(await door.stop(), 0);
  });

  it('a part that is taken away and asked for again at once: first one ends, then the other begins', async () => {
    door.configure(Door.globals() + door.virtualServer(1));
    const child = door.start(door.pids('k', 'c'));
    await door.logged('dry-run: add server');
    const first = door.pid('c');
    door.configure(Door.globals());
    child.kill('SIGHUP');
    await until(
      () => door.output,
      () => door.output.split('Reloading ...').length === 2,
    );
    door.configure(Door.globals() + door.virtualServer(5));
    child.kill('SIGHUP');
    await door.logged('weight 5');
    const second = door.pid('c');
    ok(second !== first);
    const ended = door.output.indexOf(`pid ${first} exited`);
    const began = door.output.indexOf(`Starting Healthcheck child process, pid=${second}`);
    ok(ended >= 0 && ended < began, door.output);
    equal(await door.stop(), 0);
  });

  it('a part that never comes up: said, the rest goes on, and it is tried again until it does', async () => {
    door.configure(Door.globals() + door.virtualServer(3));
    const words = ['-n', '-l', '-G', '-f', door.at('keepalived.conf'), ...door.pids('k', 'c')];
    const options = readOptions(words) as Options;
    const lines: string[] = [];
    let started = false;
    const saved = process.env.NODE_OPTIONS;
    // No Node starts with this.
    process.env.NODE_OPTIONS = '--no-such-option';
    let exit = (_code: number) => {};
    const exited = new Promise<number>((resolve) => {
      exit = resolve;
    });
    const front = new FrontDoor(parseFor(options).model, {
      options,
      log: new Log((_severity, line) => lines.push(line)),
      logTarget: { file: door.at('log') },
      patience: 1500,
      onStarted: () => {
        started = true;
      },
      exit: (code) => exit(code),
    });
    const has = (text: string) => lines.some((line) => line.includes(text));
    const added = () =>
      existsSync(door.at('log')) && readFileSync(door.at('log'), 'utf8').includes('add server');
    const all = () => lines.join('\n');
    try {
      await front.start();
      await until(all, () => started);
      ok(has('Respawning in'), all());
      ok(has('Going on without Healthcheck, not running after 1.5 seconds'), all());
      if (saved === undefined) delete process.env.NODE_OPTIONS;
      else process.env.NODE_OPTIONS = saved;
      await until(all, added);
    } finally {
      if (saved === undefined) delete process.env.NODE_OPTIONS;
      else process.env.NODE_OPTIONS = saved;
      await front.stop('the test');
    }
    equal(await exited, 0);
    match(readFileSync(door.at('log'), 'utf8'), /dry-run: add server .*weight 3/);
  });
});
