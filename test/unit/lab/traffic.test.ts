import { strict as assert } from 'node:assert';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { run } from '../../../lab/command.js';
import type { Answer, TrafficPlan } from '../../../lab/traffic-plan.js';

const program = fileURLToPath(new URL('../../../lab/traffic.js', import.meta.url));

async function send(plan: TrafficPlan): Promise<Answer[]> {
  const text = await run([process.execPath, program, JSON.stringify(plan)]);
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Answer);
}

describe("the lab's client program", () => {
  it('tells which server answered, and counts a wrong answer, silence and refusal as failures', async () => {
    const http = createServer((_request, response) => {
      response.setHeader('X-Server', 'web');
      response.end('page');
    }).listen(0, '127.0.0.1');
    const udp = createSocket('udp4');
    udp.on('message', (message, from) => udp.send(`echo ${message}`, from.port, from.address));
    udp.bind(0, '127.0.0.1');
    const wrong = createSocket('udp4');
    wrong.on('message', (_message, from) => wrong.send('echo something else', from.port, from.address));
    wrong.bind(0, '127.0.0.1');
    const silent = createSocket('udp4').bind(0, '127.0.0.1');
    // A port that was free a moment ago.
    const closed = createSocket('udp4').bind(0, '127.0.0.1');
    await Promise.all([http, udp, wrong, silent, closed].map((each) => once(each, 'listening')));
    const { port: refused } = closed.address();
    closed.close();
    try {
      const answers = await send({
        targets: [
          { kind: 'http', url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/` },
          { kind: 'udp', address: '127.0.0.1', port: udp.address().port },
          { kind: 'udp', address: '127.0.0.1', port: wrong.address().port },
          { kind: 'udp', address: '127.0.0.1', port: silent.address().port },
          { kind: 'udp', address: '127.0.0.1', port: refused },
        ],
        perSecond: 100,
        seconds: 0.1,
        limit: 1000,
      });
      const of = (target: number) => answers.filter((answer) => answer.target === target);
      assert.equal(answers.length, 10);
      for (const { server } of of(0)) assert.equal(server, 'web');
      for (const { server } of of(1)) assert.equal(server, 'echo');
      for (const { error } of of(2)) assert.match(String(error), /wrong answer/);
      for (const { error } of of(3)) assert.match(String(error), /no answer within 1000 ms/);
      for (const { error } of of(4)) assert.match(String(error), /ECONNREFUSED/);
    } finally {
      http.close();
      for (const socket of [udp, wrong, silent]) socket.close();
    }
  });
});
