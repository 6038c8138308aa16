import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseConf } from '../../../dpvsd/conf/parse.js';
import { readMachine } from '../../../dpvsd/machine.js';
import { makePlan } from '../../../dpvsd/plan/plan.js';
import { compare, describe as tell } from '../../../dpvsd/reload.js';
import { allSettings, type Setting, settingsText } from '../../../dpvsd/settings.js';
import { fakeFiles } from './fake-machine.js';

const confText = (more = '', device = '') => `global_defs {
  log_level warn
  daemon on
}
netif_defs {
  pktpool_cache 1024
  device dpdk0 {
    vdev net_af_packet0,iface=veth0
    ${device}
    rx {
      rss ip|tcp
    }
  }
  device dpdk1 {
    pci 06:00.0
    promisc_mode
  }
}
worker_defs {
  worker m {
    type master
    cpu_id 0
  }
  worker cpu1 {
    cpu_id 1
    port dpdk0 {
      rx_queue_ids 0
    }
    port dpdk1 {
      rx_queue_ids 0 1
      tx_queue_ids 1
    }
  }
  worker cpu2 {
    cpu_id 2
    port dpdk0 {
      rx_queue_ids 1
    }
    port dpdk1 {
      tx_queue_ids 0
    }
  }
}
${more}`;

function settings(text: string): Setting[] {
  const conf = parseConf(text);
  const { plan, problems } = makePlan(conf, readMachine(fakeFiles()), []);
  assert.ok(plan, JSON.stringify(problems));
  const places = {
    ipc: '/run/a.ipc',
    pid: '/run/a.pid',
    reload: ['/usr/bin/node', '/opt/my tools/100%/dpvsd', 'reload'],
    watch: ['/usr/bin/node', '/opt/my tools/kni', '-x'],
  };
  return settingsText(allSettings(conf, plan, places))
    .trimEnd()
    .split('\n')
    .map((line) => ({ name: line.slice(0, line.indexOf(' ')), value: line.slice(line.indexOf(' ') + 1) }));
}

/** What a running process reports of its settings: ports and workers by number. */
const reported = (text: string): Setting[] => settings(text);

describe('settings for the native process', () => {
  it('carry every effective item, one on a line', () => {
    const lines = settings(confText('ipvs_defs {\n conn {\n expire_quiescent_template\n }\n}')).map(
      ({ name, value }) => `${name} ${value}`,
    );
    for (const line of [
      'ipc /run/a.ipc',
      'pid /run/a.pid',
      'daemon 1',
      'log_level warning',
      'log_file /var/log/dpvs.log',
      'idle poll',
      'rx_burst 32',
      'pktpool.size 65535',
      'pktpool.cache 512',
      'neigh.unres_queue 128',
      'neigh.timeout 60',
      'ip4.ttl 64',
      'ip4.forwarding 0',
      'ip6.forwarding 0',
      'conn.pool_size 2097152',
      'conn.init_timeout 3',
      'conn.expire_quiescent 1',
      'tcp.timeout.established 90',
      'tcp.timeout.syn_recv 30',
      'udp.timeout.oneway 300',
      'uoa.mode opp',
      'udp.uoa_max_trail 3',
      'sa_pool.flow_enable 1',
      'port 0 name dpdk0 vdev net_af_packet0 rxq 2 txq 2 rxd 256 txd 512 mtu 1500 promisc 0 allmulti 0 kni dpdk0.kni rss ip|tcp',
      'port 1 name dpdk1 pci 0000:06:00.0 rxq 2 txq 2 rxd 256 txd 512 mtu 1500 promisc 1 allmulti 0 kni dpdk1.kni rss all',
      'worker 0 lcore 1 name cpu1 port 0 rxq 0 txq 0 port 1 rxq 0 txq 1 port 1 rxq 1 txq 1',
      'worker 1 lcore 2 name cpu2 port 0 rxq 1 txq 1 port 1 txq 0',
      'reload_command /usr/bin/node /opt/my%20tools/100%25/dpvsd reload',
      'twins_command /usr/bin/node /opt/my%20tools/kni -x',
    ]) {
      assert.ok(lines.includes(line), `${line}\n\n${lines.join('\n')}`);
    }
    assert.equal(lines.filter((line) => line.startsWith('tcp.timeout.')).length, 12);
    assert.equal(lines.filter((line) => line.startsWith('udp.timeout.')).length, 3);
  });

  it('have names that the native process knows', () => {
    const source = readFileSync(
      fileURLToPath(new URL('../../../../dpvsd/native/settings.c', import.meta.url)),
      'utf8',
    );
    const known = new Set([...source.matchAll(/"([^"\n]*)"/g)].map(([, text]) => text));
    for (const { name, value } of settings(confText())) {
      const state = /^((?:tcp|udp)\.timeout\.)(\w+)$/.exec(name);
      for (const word of state ? state.slice(1) : [name]) assert.ok(known.has(word), `${name}: ${word}`);
      if (name !== 'port' && name !== 'worker') continue;
      // Behind the number: pairs of key and value.
      const words = value.split(' ').slice(1);
      for (let i = 0; i < words.length; i += 2) assert.ok(known.has(words[i]!), `${name}: ${words[i]}`);
    }
  });

  it('leave out what is switched off', () => {
    const lines = settings('global_defs {\n kni off\n}\nnetif_defs {\n device a {\n vdev net_tap0\n }\n}');
    assert.ok(!lines.some(({ name }) => name === 'log_file'));
    assert.doesNotMatch(lines.find(({ name }) => name === 'port')?.value ?? '', /kni/);
    assert.ok(!lines.some(({ name }) => name === 'twins_command'));
    assert.equal(lines.find(({ name }) => name === 'idle')?.value, 'adaptive');
  });
});

describe('reload', () => {
  const now = (text: string) => {
    const conf = parseConf(text);
    const { plan } = makePlan(conf, readMachine(fakeFiles({ huge: { total: 100, free: 0 } })), [], {
      running: true,
    });
    return { conf, plan };
  };
  const outcome = (before: string, after: string) => {
    const { conf, plan } = now(after);
    const { change, restart } = compare(reported(before), conf, plan);
    return { change: change.map(tell), restart: restart.map(tell) };
  };

  it('finds nothing when nothing has changed', () => {
    assert.deepEqual(outcome(confText(), confText()), { change: [], restart: [] });
  });

  it('sends what may change, and says what needs a restart', () => {
    const after = confText(
      'ipvs_defs {\n tcp {\n timeout {\n established 500\n }\n }\n conn {\n conn_pool_size 70000\n }\n}',
      'mtu 9000',
    );
    assert.deepEqual(outcome(confText(), after), {
      change: ['tcp.timeout.established: 90 -> 500'],
      restart: ['conn.pool_size: 2097152 -> 70000', 'port 0: mtu 1500 -> mtu 9000'],
    });
  });

  it('sees ports and workers come and go', () => {
    const one =
      'netif_defs {\n device a {\n vdev net_tap0,iface=x\n }\n}\nworker_defs {\n worker w {\n cpu_id 1\n }\n}';
    const two = `${one}\nnetif_defs {\n device b {\n vdev net_tap1\n }\n}`;
    assert.match(outcome(one, two).restart.join('\n'), /^port 1: new: name b vdev net_tap1 /m);
    assert.match(outcome(two, one).restart.join('\n'), /^port 1: name b .* -> none$/m);
  });

  it('leaves alone what the process does not report', () => {
    const { conf, plan } = now(confText());
    assert.deepEqual(compare([{ name: 'neigh.timeout', value: '60' }], conf, plan), {
      change: [],
      restart: [],
    });
  });
});
