// The lab's client program, a process of its own inside the client host: PLAN (JSON, see TrafficPlan).
// Prints one JSON object per request (see Answer), and ends when the plan's time is over or on SIGTERM, after the requests
// that are under way have ended.
import { createSocket } from 'node:dgram';
import { Agent, get } from 'node:http';
import type { Socket } from 'node:net';
import type { Answer, Target, TrafficPlan } from './traffic-plan.js';

const plan = JSON.parse(process.argv[2] ?? '{}') as TrafficPlan;

/** Connections that are kept, by target, and the socket that carried the first request of each. */
const agents = new Map<Target, Agent>();
const sockets = new Map<Target, Socket>();

function agentOf(target: Target): Agent {
  const agent = agents.get(target) ?? new Agent({ keepAlive: true, maxSockets: 1 });
  agents.set(target, agent);
  return agent;
}

/** @returns whether this is the connection that the target had before */
function lasted(target: Target, socket: Socket): boolean {
  const before = sockets.get(target);
  sockets.set(target, socket);
  return before === undefined || before === socket;
}

function http(target: Extract<Target, { kind: 'http' }>): Promise<string> {
  return new Promise((resolve, reject) => {
    // Otherwise a connection of its own for each request, as from as many clients.
    const agent = target.kept ? agentOf(target) : false;
    const request = get(target.url, { agent, timeout: plan.limit }, (response) => {
      if (target.kept && !lasted(target, response.socket)) reject(new Error('the connection did not last'));
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
      });
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200) resolve(String(response.headers['x-server'] ?? body.trim()));
        else reject(new Error(`status ${response.statusCode}`));
      });
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${plan.limit} ms`)));
    request.on('error', reject);
  });
}

let sequence = 0;
// Ports in turn, not the kernel's random choice: a port that was used a moment ago would continue an old connection of
// the director, perhaps to a server that is gone by now, and this would not be a new client.
const firstPort = 10_000;
const ports = 50_000;
let nextPort = Math.floor(Math.random() * ports);

function udp(address: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const text = `${process.pid}-${sequence++}`;
    const end = (result: string | Error) => {
      clearTimeout(timer);
      socket.close();
      if (typeof result === 'string') resolve(result);
      else reject(result);
    };
    const timer = setTimeout(() => end(new Error(`no answer within ${plan.limit} ms`)), plan.limit);
    socket.on('error', (error) => end(error));
    socket.on('message', (message) => {
      const [server = '', echoed] = message.toString().split(' ');
      end(echoed === text ? server : new Error(`wrong answer ${JSON.stringify(message.toString())}`));
    });
    // Connected, so that an ICMP error becomes an error of the request.
    nextPort = (nextPort + 1) % ports;
    socket.bind(firstPort + nextPort, () => socket.connect(port, address, () => socket.send(text)));
  });
}

async function request(index: number, target: Target): Promise<void> {
  const started = performance.now();
  const answer: Answer = { target: index, began: Date.now(), ms: 0 };
  try {
    answer.server = target.kind === 'http' ? await http(target) : await udp(target.address, target.port);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    answer.error = code && !message.includes(code) ? `${code} ${message}` : message;
  }
  answer.ms = Math.round((performance.now() - started) * 10) / 10;
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

let over = false;
process.on('SIGTERM', () => {
  over = true;
});

const started = performance.now();
const interval = 1000 / plan.perSecond;
const underWay = new Set<Promise<void>>();
// Counted, not timed: the plan says exactly how many.
const turns = Math.round(plan.seconds * plan.perSecond);
for (let turn = 0; !over && turn < turns; turn++) {
  const due = started + turn * interval;
  const early = due - performance.now();
  if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
  const index = turn % plan.targets.length;
  const one = request(index, plan.targets[index] as Target).finally(() => underWay.delete(one));
  underWay.add(one);
  // A path that answers nothing must not pile up sockets without end.
  if (underWay.size >= 500) await Promise.race(underWay);
}
await Promise.all(underWay);
for (const agent of agents.values()) agent.destroy();
