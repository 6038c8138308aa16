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

/** Steady requests to all services. */
function load(lab: Lab, seconds = 60): Traffic {
  return new Traffic(lab.client, { targets: everyTarget(lab), perSecond: 150, seconds, limit: 10_000 });
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

for (const workers of [1, 2]) {
  onLab({ title: `changes under load, ${workers} worker(s)`, workers }, (stage) => {
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
