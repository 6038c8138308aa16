import type { Socket } from 'node:net';
import { ANSWER_LENGTH, ANSWER_LIMIT, unreachable, VtyError } from './vty.js';

/** Room for an answer to begin with, and room that is given back after a long one, bytes. */
const FIRST_ROOM = 4096;
const LARGEST_ROOM = 1 << 20;

/**
 * The common part of all dialogues: a stream, one question at a time, an answer that is complete when `complete` says so.
 * After any failure the dialogue is over.
 */
export class Dialogue {
  readonly #socket: Socket;
  readonly #where: string;
  readonly #limit: number;
  /** What has arrived of the answer, in the beginning of a buffer that grows. */
  #data = Buffer.alloc(FIRST_ROOM);
  #length = 0;
  #seen = 0;
  #failure: VtyError | undefined;
  #check: () => void = () => {};
  #last: Promise<unknown> = Promise.resolve();

  /** @param where for messages: a path, or host and port @param filter takes control sequences out of what arrives */
  constructor(
    socket: Socket,
    where: string,
    {
      limit = ANSWER_LIMIT,
      filter = (data: Buffer) => data,
    }: { limit?: number; filter?: (data: Buffer) => Buffer } = {},
  ) {
    this.#socket = socket;
    this.#where = where;
    this.#limit = limit;
    socket.on('data', (data) => {
      this.#keep(filter(data));
      if (this.#length > ANSWER_LENGTH)
        this.fail(new VtyError('foreign', `${where} says more than can be true`));
      this.#check();
    });
    socket.on('error', (error) => this.fail(unreachable(where, error)));
    socket.on('close', () => this.fail(new VtyError('closed', `${where} closed the connection`)));
  }

  get where(): string {
    return this.#where;
  }

  #keep(chunk: Buffer): void {
    if (this.#length + chunk.length > this.#data.length) {
      const larger = Buffer.alloc(2 * (this.#length + chunk.length));
      this.#data.copy(larger, 0, 0, this.#length);
      this.#data = larger;
    }
    chunk.copy(this.#data, this.#length);
    this.#length += chunk.length;
  }

  /** The answer is made of text, which is a copy: its room is for the next one. */
  #drop(taken: number): void {
    this.#data.copyWithin(0, taken, this.#length);
    this.#length -= taken;
    this.#seen = 0;
    if (this.#data.length > LARGEST_ROOM && this.#length < FIRST_ROOM)
      this.#data = Buffer.from(this.#data.subarray(0, FIRST_ROOM));
  }

  /** Ends the dialogue; the first reason stays. */
  fail(error: VtyError): void {
    this.#failure ??= error;
    this.#socket.destroy();
    this.#check();
  }

  close(): void {
    this.fail(new VtyError('closed', `the dialogue with ${this.#where} is closed`));
  }

  /**
   * Writes, and waits for an answer.
   * @param complete looks at all that has arrived and returns the answer, with the number of bytes that it took, once it is whole.
   * The first `seen` bytes it has been shown before: long answers come in many pieces, and must not be read again for each.
   */
  exchange<T>(
    question: string | undefined,
    complete: (data: Buffer, seen: number) => { answer: T; taken: number } | undefined,
  ): Promise<T> {
    const turn = this.#last.then(() => this.#exchange(question, complete));
    this.#last = turn.catch(() => {});
    return turn;
  }

  #exchange<T>(
    question: string | undefined,
    complete: (data: Buffer, seen: number) => { answer: T; taken: number } | undefined,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () =>
          this.fail(
            new VtyError('timeout', `${this.#where} has not answered for ${this.#limit / 1000} seconds`),
          ),
        this.#limit,
      );
      const done = () => {
        clearTimeout(timer);
        this.#check = () => {};
      };
      this.#check = () => {
        let result: ReturnType<typeof complete>;
        try {
          result = complete(this.#data.subarray(0, this.#length), this.#seen);
          this.#seen = this.#length;
        } catch (error) {
          done();
          this.fail(error as VtyError);
          reject(error);
          return;
        }
        if (result) {
          done();
          this.#drop(result.taken);
          resolve(result.answer);
        } else if (this.#failure) {
          done();
          reject(this.#failure);
        }
      };
      if (question !== undefined && !this.#failure) this.#socket.write(question);
      this.#check();
    });
  }
}
