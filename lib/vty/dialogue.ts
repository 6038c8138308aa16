import type { Socket } from 'node:net';
import { ANSWER_LENGTH, ANSWER_LIMIT, unreachable, VtyError } from './vty.js';

/**
 * The common part of all dialogues: a stream, one question at a time, an answer that is complete when `complete` says so.
 * After any failure the dialogue is over.
 */
export class Dialogue {
  readonly #socket: Socket;
  readonly #where: string;
  readonly #limit: number;
  #chunks: Buffer[] = [];
  #length = 0;
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
      const chunk = filter(data);
      this.#chunks.push(chunk);
      this.#length += chunk.length;
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
   * @param complete looks at all that has arrived and returns the answer, with the number of bytes that it took, once it is whole
   */
  exchange<T>(
    question: string | undefined,
    complete: (data: Buffer) => { answer: T; taken: number } | undefined,
  ): Promise<T> {
    const turn = this.#last.then(() => this.#exchange(question, complete));
    this.#last = turn.catch(() => {});
    return turn;
  }

  #exchange<T>(
    question: string | undefined,
    complete: (data: Buffer) => { answer: T; taken: number } | undefined,
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
        const data = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
        this.#chunks = [data];
        let result: ReturnType<typeof complete>;
        try {
          result = complete(data);
        } catch (error) {
          done();
          this.fail(error as VtyError);
          reject(error);
          return;
        }
        if (result) {
          done();
          this.#chunks = [data.subarray(result.taken)];
          this.#length = data.length - result.taken;
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
