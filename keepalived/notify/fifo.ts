import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  chownSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import type { Log } from '../../lib/log.js';
import type { Global, NotifyFifo } from '../model/global.js';
import { identityOf } from './user.js';

/**
 * A notify FIFO: made if it is missing, opened for reading and writing (so that opening never waits for a reader and lines stay
 * in the pipe until one comes), never blocking. A line that does not fit is lost and counted.
 */
export class FifoWriter {
  readonly path: string;
  readonly #log: Log;
  #fd = -1;
  #made = false;
  #lost = 0;
  #reader: ChildProcess | undefined;

  constructor(path: string, log: Log) {
    this.path = path;
    this.#log = log;
  }

  /** Opens the FIFO if it is not open yet, and starts its script anew. */
  configure(fifo: NotifyFifo, global: Global): void {
    if (this.#fd < 0) this.#open(fifo, global);
    this.#endReader();
    if (this.#fd >= 0 && fifo.script) this.#startReader(fifo.script, global);
  }

  /** @param line without its newline */
  write(line: string): void {
    if (this.#fd < 0) return;
    try {
      writeSync(this.#fd, `${line}\n`);
      if (this.#lost > 0)
        this.#log.warning(`FIFO ${this.path}: ${this.#lost} lines were lost because nobody read them`);
      this.#lost = 0;
    } catch (error) {
      // Said once per run of losses: a missing reader must not flood the log.
      if (this.#lost++ === 0)
        this.#log.warning(`FIFO ${this.path}: cannot write: ${(error as Error).message}`);
    }
  }

  /** @param remove also unlinks the FIFO if we made it */
  close(remove: boolean): void {
    this.#endReader();
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
    if (remove && this.#made) {
      try {
        unlinkSync(this.path);
      } catch {
        // Somebody else removed it.
      }
      this.#made = false;
    }
  }

  #open(fifo: NotifyFifo, global: Global): void {
    const there = statSync(this.path, { throwIfNoEntry: false });
    if (!there) {
      const made = spawnSync('mkfifo', ['-m', '0644', '--', this.path], { encoding: 'utf8' });
      if (made.status !== 0) {
        this.#log.error(
          `FIFO ${this.path} cannot be made: ${(made.stderr ?? made.error?.message ?? '').trim()}`,
        );
        return;
      }
      this.#made = true;
      const owner = identityOf(fifo, global);
      if ('error' in owner) this.#log.warning(`FIFO ${this.path}: ${owner.error}`);
      else if (owner.uid !== undefined) chownSync(this.path, owner.uid, owner.gid ?? owner.uid);
    } else if (!there.isFIFO()) {
      this.#log.error(`FIFO ${this.path}: there is something else of this name`);
      return;
    }
    try {
      this.#fd = openSync(this.path, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOFOLLOW);
      if (!fstatSync(this.#fd).isFIFO()) throw new Error('no FIFO any more');
    } catch (error) {
      this.#log.error(`FIFO ${this.path} cannot be opened: ${(error as Error).message}`);
    }
  }

  #startReader(script: NonNullable<NotifyFifo['script']>, global: Global): void {
    const who = identityOf(script, global);
    if ('error' in who) {
      this.#log.error(`FIFO script ${script.argv[0]} not run: ${who.error}`);
      return;
    }
    const [program = '', ...args] = script.argv;
    const child = spawn(program, [...args, this.path], {
      stdio: 'ignore',
      detached: true,
      ...(who.uid === undefined ? {} : { uid: who.uid }),
      ...(who.gid === undefined ? {} : { gid: who.gid }),
    });
    this.#reader = child;
    child.on('error', (error) => this.#log.error(`FIFO script ${program} not run: ${error.message}`));
    child.on('exit', (code, signal) => {
      if (this.#reader !== child) return;
      this.#reader = undefined;
      this.#log.info(`FIFO script ${program} ended (${signal ?? `exit ${code}`})`);
    });
  }

  #endReader(): void {
    const child = this.#reader;
    this.#reader = undefined;
    if (child?.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGTERM');
    } catch {
      // It has just ended.
    }
  }
}
