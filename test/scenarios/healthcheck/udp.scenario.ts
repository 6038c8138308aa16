import assert from 'node:assert/strict';
import { type Running, until } from '../../../lab/command.js';
import type { Family } from '../../../lab/plan.js';
import { UDP_PORT } from '../../../lab/ports.js';
import { addressHex } from '../../../lab/show.js';
import { Statistics } from '../../../lab/statistics.js';
import { onLab } from '../support.js';

/** What UDP servers can do to a check; server by server of the lab. */
const behaviours = ['right', 'wrong', 'silent', 'closed', 'filtered', 'rejected'] as const;
type Behaviour = (typeof behaviours)[number];

/** Virtual servers by their port: how they check, and which of the servers they must keep. */
const services: { port: number; family: Family; check: string; alive: Behaviour[] }[] = [
  { port: 5001, family: 'v4', check: 'payload "hello"\n require_reply "hello ok"', alive: ['right'] },
  { port: 5002, family: 'v6', check: 'payload "hello"\n require_reply "hello ok"', alive: ['right'] },
  // Any answer.
  { port: 5003, family: 'v4', check: 'payload "hello"\n require_reply', alive: ['right', 'wrong'] },
  // Only an ICMP error is a failure: who drops silently cannot be told from who has nothing to say.
  { port: 5004, family: 'v4', check: '', alive: ['right', 'wrong', 'silent', 'filtered'] },
  { port: 5005, family: 'v6', check: '', alive: ['right', 'wrong', 'silent', 'filtered'] },
];

/** Takes datagrams on every address; answers each with the given text, or with nothing. */
const peer = `
const socket = require('node:dgram').createSocket('udp6');
const answer = process.argv[1];
socket.on('message', (_, from) => answer && socket.send(answer, from.port, from.address));
socket.on('error', () => {});
socket.bind(${UDP_PORT}, () => console.log('ready'));`;

onLab(
  {
    title: 'UDP checks of servers that are closed, silent, filtered, wrong and right',
    services: false,
    twins: true,
    servers: behaviours.length,
    programs: ['iptables', 'ip6tables'],
  },
  (stage) => {
    let peers: Running[] = [];
    let statistics: Statistics | undefined;
    after(async () => {
      statistics?.close();
      await Promise.all(peers.map((each) => each.stop()));
    });

    /** `5001 right`, in order: servers that get new connections. */
    async function alive(): Promise<string[]> {
      statistics ??= new Statistics(stage.lab.record.ipc);
      const { servers } = await statistics.read();
      return servers
        .filter(({ weight }) => weight > 0)
        .map(({ address, servicePort }) => {
          const index = stage.lab.plan.servers.findIndex(
            ({ v4, v6 }) => addressHex(v4) === address || addressHex(v6) === address,
          );
          return `${servicePort} ${behaviours[index]}`;
        })
        .sort();
    }

    const every = services.flatMap(({ port }) => behaviours.map((name) => `${port} ${name}`)).sort();
    const expected = services.flatMap(({ port, alive }) => alive.map((name) => `${port} ${name}`)).sort();

    const becomes = (what: string, wanted: string[]) =>
      until(what, async () => {
        const found = await alive();
        assert.deepEqual(found, wanted);
        return true;
      });

    /** Replaces the lab's responder, which answers rightly, or sets a filter before it. */
    async function behave(name: Behaviour): Promise<void> {
      const server = stage.lab.servers[behaviours.indexOf(name)]!;
      const filter = (target: string[]) =>
        Promise.all(
          ['iptables', 'ip6tables'].map((program, index) =>
            server.host.run([
              ...[program, '-A', 'INPUT', '-p', 'udp', '--dport', String(UDP_PORT), '-j'],
              ...(target.length === 1 ? target : ['REJECT', '--reject-with', target[index]!]),
            ]),
          ),
        );
      if (name === 'filtered') await filter(['DROP']);
      if (name === 'rejected') await filter(['icmp-admin-prohibited', 'icmp6-adm-prohibited']);
      if (name !== 'closed' && name !== 'silent' && name !== 'wrong') return;
      await server.stopResponder();
      if (name === 'closed') return;
      const program = server.host.start([process.execPath, '-e', peer, name === 'wrong' ? 'hello no' : '']);
      peers.push(program);
      await until('the peer', () => program.output.includes('ready'));
    }

    stage.it('all of them answer: all are in', async () => {
      await stage.lab.startKeepalived(configuration(stage.lab.plan.servers.length));
      await becomes('all in', every);
      // A check of each has passed by now: whoever does not answer would be out.
      await new Promise((resolve) => setTimeout(resolve, 1500));
      assert.deepEqual(await alive(), every);
    });

    stage.it('each is judged right', async () => {
      for (const name of behaviours) await behave(name);
      await becomes('the verdicts', expected);
      await new Promise((resolve) => setTimeout(resolve, 1500));
      assert.deepEqual(await alive(), expected);
    });

    stage.it('all answer again: all return', async () => {
      await Promise.all(peers.map((each) => each.stop()));
      peers = [];
      for (const name of behaviours) {
        const server = stage.lab.servers[behaviours.indexOf(name)]!;
        if (name === 'filtered' || name === 'rejected')
          for (const program of ['iptables', 'ip6tables']) await server.host.run([program, '-F', 'INPUT']);
        else if (name !== 'right') await server.startResponder();
      }
      await becomes('all in', every);
    });

    function configuration(count: number): string {
      const { plan } = stage.lab;
      const blocks = services.map(({ port, family, check }) => {
        const servers = plan.servers.slice(0, count).map(
          (server) => `  real_server ${server[family]} ${UDP_PORT} {
    UDP_CHECK {
      connect_timeout 0.5
      retry 0
      ${check}
    }
  }
`,
        );
        return `virtual_server ${plan.virtual[family]} ${port} {
  delay_loop 0.5
  lb_algo rr
  lb_kind FNAT
  protocol UDP
  laddr_group_name ${family}
${servers.join('')}}
`;
      });
      const locals = (['v4', 'v6'] as const).map(
        (family) =>
          `local_address_group ${family} {\n${plan.locals.map((local) => `  ${local[family]} ${plan.innerDevice}\n`).join('')}}\n`,
      );
      return [...locals, ...blocks].join('');
    }
  },
);
