/** Status line and headers of an HTTP response, read piece by piece (RFC 9112). Bounded: whatever a server sends, it ends. */
export type HttpEvent =
  | { kind: 'head'; status: number; contentLength: number | undefined }
  | { kind: 'body'; bytes: Buffer }
  | { kind: 'fault'; reason: string };

const HEAD_LIMIT = 65_536;

/** Splits a response into head and body. The body is passed on as it comes, without undoing a transfer coding. */
export class HttpResponse {
  #head: Buffer = Buffer.alloc(0);
  #inBody = false;

  get headComplete(): boolean {
    return this.#inBody;
  }

  push(chunk: Buffer): HttpEvent[] {
    if (this.#inBody) return [{ kind: 'body', bytes: chunk }];
    const from = Math.max(0, this.#head.length - 3);
    this.#head = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk]);
    const end = endOfHead(this.#head, from);
    if (end === undefined) {
      return this.#head.length > HEAD_LIMIT ? [{ kind: 'fault', reason: 'the header has no end' }] : [];
    }
    const text = this.#head.subarray(0, end).toString('latin1');
    const rest = this.#head.subarray(end);
    const head = parseHead(text);
    if (head.kind !== 'head') return [head];
    // An interim response (100 Continue) is followed by the real one (RFC 9110 15.2).
    if (head.status >= 100 && head.status < 200 && head.status !== 101) {
      this.#head = Buffer.alloc(0);
      return rest.length > 0 ? this.push(rest) : [];
    }
    this.#inBody = true;
    this.#head = Buffer.alloc(0);
    return rest.length > 0 ? [head, { kind: 'body', bytes: rest }] : [head];
  }
}

function endOfHead(bytes: Buffer, from: number): number | undefined {
  const crlf = bytes.indexOf('\r\n\r\n', from, 'latin1');
  const lf = bytes.indexOf('\n\n', from, 'latin1');
  if (crlf < 0 && lf < 0) return undefined;
  return lf < 0 || (crlf >= 0 && crlf < lf) ? crlf + 4 : lf + 2;
}

function parseHead(text: string): HttpEvent {
  const status = /^HTTP\/\d+(?:\.\d+)?[ \t]+(\d{3})(?:\D|$)/.exec(text);
  if (!status) return { kind: 'fault', reason: 'the answer is not HTTP' };
  const length = /^content-length[ \t]*:[ \t]*(\d{1,15})[ \t]*$/im.exec(text);
  const coded = /^transfer-encoding[ \t]*:/im.test(text);
  return {
    kind: 'head',
    status: Number(status[1]),
    contentLength: length && !coded ? Number(length[1]) : undefined,
  };
}
