import { strict as assert } from 'node:assert';
import { until } from '../../lab/command.js';
import type { Lab } from '../../lab/lab.js';
import { families } from '../../lab/plan.js';
import { HTTP_PORT, UDP_PORT } from '../../lab/ports.js';
import { addressHex } from '../../lab/show.js';
import { failures, Traffic } from '../../lab/traffic-plan.js';
import { assertAllAnswered, everyTarget, onLab, restore, type Stage } from './support.js';

const services = [
  ['t', HTTP_PORT],
  ['u', UDP_PORT],
] as const;

/** Lines that do the same to one server in the HTTP and UDP services of both families. */
function everywhere(lab: Lab, verb: '-a' | '-e' | '-d', index: number, weight = 1): string[] {
  const server = lab.servers[index]!;
  return families.flatMap((family) =>
    services.map(([protocol, port]) =>
      lab.serverLine(verb, `-${protocol} ${lab.virtual(family, port)}`, server, family, port, weight),
    ),
  );
}

/** Steady requests to all services, until they are stopped. */
function load(lab: Lab): Traffic {
  return new Traffic(lab.client, { targets: everyTarget(lab), perSecond: 150, seconds: 600, limit: 10_000 });
}

const answered = (traffic: Traffic, name: string) => traffic.total.byServer.get(name) ?? 0;

/** Waits until a server has answered `more` further requests. */
async function answersOf(traffic: Traffic, name: string, more = 40): Promise<void> {
  const before = answered(traffic, name);
  await until(`answers of ${name}`, () => answered(traffic, name) >= before + more);
}

/** States of TCP in which nobody waits for an answer any more. */
const over = ['FIN_WAIT', 'TIME_WAIT', 'CLOSE', 'LAST_ACK'];

/** Waits until no request can be under way to a server that gets no new connections: those it has are over or expired. */
async function drained(stage: Stage, index: number): Promise<void> {
  const server = stage.lab.servers[index]!;
  const addresses = [addressHex(server.address.v4), addressHex(server.address.v6)];
  await until(`the connections to ${server.name} to end`, async () =>
    (await stage.connections())
      .filter(({ address }) => addresses.includes(address))
      .every(({ protocol, state }) => protocol === 'tcp' && over.includes(state)),
  );
}

// A datagram whose answer a busy machine loses leaves a connection that has only seen one side.
const oneWaySoon = `
ipvs_defs {
    udp {
        timeout {
            oneway 2
        }
    }
}
`;

for (const workers of [1, 2]) {
  onLab({ title: `changes under load, ${workers} worker(s)`, workers, extra: oneWaySoon }, (stage) => {
    // UDP has no end that a director could see: "drained" is when its connections have timed out.
    before(async () => {
      await stage.lab.director.ipvsadm(['--set', '0', '0', '2']);
    });

    stage.it('a server is drained, stopped, and returned: no request fails', async () => {
      const { lab } = stage;
      const traffic = load(lab);
      await answersOf(traffic, 'rs2');
      await restore(lab, everywhere(lab, '-e', 1, 0));
      await drained(stage, 1);
      // What was sent to it before has been answered by now; from here on it is left alone.
      await answersOf(traffic, 'rs1');
      const before = answered(traffic, 'rs2');
      await lab.servers[1]!.stop();
      await answersOf(traffic, 'rs1');
      assert.equal(answered(traffic, 'rs2'), before);
      await lab.servers[1]!.start();
      await restore(lab, everywhere(lab, '-e', 1, 1));
      await answersOf(traffic, 'rs2');
      await traffic.stop();
      assertAllAnswered(traffic.total, 200);
    });

    stage.it(
      'a server stops without notice: only its own requests fail, and none after it was removed',
      async () => {
        const { lab } = stage;
        const traffic = load(lab);
        await answersOf(traffic, 'rs3');
        await lab.servers[2]!.stop();
        await until('the first failure', () => failures(traffic.total) > 0);
        await restore(lab, everywhere(lab, '-d', 2));
        const removed = Date.now();
        await answersOf(traffic, 'rs1', 100);
        await lab.servers[2]!.start();
        await restore(lab, everywhere(lab, '-a', 2));
        await answersOf(traffic, 'rs3');
        await traffic.stop();
        // Told to the client at once (refused, or an ICMP error), or under way when the server was removed.
        assert.deepEqual(
          traffic.total.failed.filter((began) => began > removed),
          [],
        );
        for (const error of traffic.total.errors.keys())
          assert.match(error, /ECONNREFUSED|ECONNRESET|socket hang up|no answer/);
      },
    );

    stage.it('a server is added and removed five times: no request fails on the others', async () => {
      const { lab } = stage;
      const traffic = load(lab);
      await answersOf(traffic, 'rs1');
      for (let round = 0; round < 5; round++) {
        await restore(lab, everywhere(lab, '-e', 0, 0));
        await drained(stage, 0);
        await restore(lab, everywhere(lab, '-d', 0));
        await restore(lab, everywhere(lab, '-a', 0));
      }
      await answersOf(traffic, 'rs1');
      await traffic.stop();
      assertAllAnswered(traffic.total, 200);
    });

    stage.it('addresses, routes and services come and go beside the load: no request fails', async () => {
      const { lab } = stage;
      const { director } = lab;
      const traffic = load(lab);
      await answersOf(traffic, 'rs1');
      const inner = lab.plan.innerDevice;
      for (let round = 0; round < 3; round++) {
        await director.dpip(['addr', 'add', '192.168.100.77/32', 'dev', lab.plan.outerDevice]);
        await director.dpip(['route', 'add', '172.20.0.0/16', 'via', lab.plan.innerRouter.v4, 'dev', inner]);
        await restore(lab, ['-A -t 192.168.100.77:81 -s wlc', '-a -t 192.168.100.77:81 -r 172.20.0.1:81 -b']);
        await restore(lab, ['-D -t 192.168.100.77:81']);
        await director.dpip(['route', 'del', '172.20.0.0/16', 'dev', inner]);
        await director.dpip(['addr', 'del', '192.168.100.77/32', 'dev', lab.plan.outerDevice]);
      }
      await traffic.stop();
      assertAllAnswered(traffic.total, 100);
    });
  });
}

/** Sends a datagram every 50 ms, always from the same port, and prints the name of each server that answers. */
const steadyClient = `
const [address, port] = process.argv.slice(1);
const socket = require('node:dgram').createSocket('udp4');
socket.on('message', (answer) => console.log(String(answer).split(' ')[0]));
socket.on('error', () => {});
setInterval(() => socket.send('ping', Number(port), address), 50);
`;

onLab({ title: 'clients of a removed server', servers: 2, services: false }, (stage) => {
  const port = 6000;
  const dropped = async () =>
    (await stage.snapshot()).counters.find(({ name }) => name === 'drop.server-gone')?.value ?? 0;

  interface Scene {
    answers: string[];
    /** Removes the server that answered, or adds it again. */
    change(verb: '-a' | '-d'): Promise<void>;
  }

  /** A virtual server with a client whose connection is open; `timeout` of UDP in seconds. */
  function test(title: string, timeout: number, flags: string, body: (scene: Scene) => Promise<void>): void {
    stage.it(title, async () => {
      const { lab } = stage;
      const { client, director, servers, plan } = lab;
      const service = `-u ${lab.virtual('v4', port)}`;
      const line = (verb: '-a' | '-d', server: (typeof servers)[number]): string =>
        lab.serverLine(verb, service, server, 'v4', UDP_PORT);
      await director.ipvsadm(['--set', '0', '0', String(timeout)]);
      await restore(lab, [
        `-A ${service} -s rr ${flags}`,
        ...plan.locals.map((local) => lab.localLine(service, local.v4)),
        ...servers.map((server) => line('-a', server)),
      ]);
      const answers: string[] = [];
      const running = client.start(
        [process.execPath, '-e', steadyClient, plan.virtual.v4, String(port)],
        (text) => answers.push(text),
      );
      await until('an answer', () => answers.length > 0);
      const first = servers.find(({ name }) => name === answers[0])!;
      await body({ answers, change: (verb) => restore(lab, [line(verb, first)]) });
      await running.stop();
      await restore(lab, [`-D ${service}`]);
    });
  }

  test('UDP: are silent, and go on when it comes back', 300, '', async ({ answers, change }) => {
    const before = await dropped();
    await change('-d');
    await until('datagrams to be dropped', async () => (await dropped()) > before);
    await change('-a');
    const there = answers.length;
    await until('it to answer again', () => answers.length > there);
    assert.equal(new Set(answers).size, 1, `${answers}`);
  });

  test('UDP: are silent until their time-out', 3, '', async ({ answers, change }) => {
    const before = await dropped();
    await change('-d');
    await until('another server to answer', () => answers.at(-1) !== answers[0]);
    // 60 in three seconds, if the machine does not dawdle.
    const lost = (await dropped()) - before;
    assert.ok(lost >= 10, `only ${lost} datagrams were dropped before`);
  });

  test('UDP: reach another at once with expire-quiescent', 300, '--expire-quiescent', async (scene) => {
    const before = await dropped();
    await scene.change('-d');
    await until('another server to answer', () => scene.answers.at(-1) !== scene.answers[0]);
    assert.equal(await dropped(), before);
  });
});
