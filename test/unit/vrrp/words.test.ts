import assert from 'node:assert/strict';
import { globalDefaults } from '../../../keepalived/model/vrrp.js';
import { iptablesCommands, nftScript } from '../../../vrrp/accept-filter.js';
import { type ElectionState, initialElection } from '../../../vrrp/election.js';
import { Lateness } from '../../../vrrp/lateness.js';
import { notificationOf } from '../../../vrrp/notifications.js';
import { groupState, type Member, unite } from '../../../vrrp/sync-group.js';

describe('notifications', () => {
  const script = (name: string) => ({ argv: [name] });
  const about = {
    kind: 'INSTANCE' as const,
    name: 'VI',
    smtpAlert: true,
    notify: {
      master: script('m'),
      fault: script('f'),
      any: script('n'),
      masterReceivedLowerPriority: script('l'),
    },
  };

  it('the script of the state, then notify with four words, then the FIFO, then mail', () => {
    assert.deepEqual(notificationOf(about, 'MASTER', 100), {
      scripts: [
        { script: script('m'), extra: [] },
        { script: script('n'), extra: ['INSTANCE', 'VI', 'MASTER', '100'] },
      ],
      fifo: 'INSTANCE "VI" MASTER 100',
      mail: {
        subject: 'VRRP Instance VI - Entering MASTER state',
        body: '=> VRRP Instance is now owning VRRP VIPs <=',
      },
    });
    const group = notificationOf({ ...about, kind: 'GROUP', smtpAlert: false }, 'BACKUP', 100);
    assert.equal(group.fifo, 'GROUP "VI" BACKUP 0');
    assert.deepEqual(group.scripts, [{ script: script('n'), extra: ['GROUP', 'VI', 'BACKUP', '0'] }]);
    assert.equal(group.mail, undefined);
  });

  it('what is no change of state goes to the FIFO and its own script only', () => {
    assert.deepEqual(notificationOf(about, 'MASTER_RX_LOWER_PRI', 100), {
      scripts: [{ script: script('l'), extra: [] }],
      fifo: 'INSTANCE "VI" MASTER_RX_LOWER_PRI 100',
    });
    assert.deepEqual(notificationOf(about, 'BACKUP_PRIORITY', 90), {
      scripts: [],
      fifo: 'INSTANCE "VI" BACKUP_PRIORITY 90',
    });
    assert.equal(notificationOf(about, 'FAULT', 90, true).mail, undefined, 'no_email_faults');
    assert.ok(notificationOf(about, 'FAULT', 90).mail);
    assert.deepEqual(notificationOf({ ...about, notify: { deleted: true } }, 'DELETED', 90).scripts, []);
  });
});

describe('sync groups', () => {
  const member = (name: ElectionState['name'], about: Partial<Member> = {}, wantsMaster = false): Member => ({
    state: { ...initialElection, name, wantsMaster },
    faulty: false,
    ...about,
  });
  const orders = (members: Member[], yielded = -1) =>
    unite(members, yielded).map(({ member: index, event }) => `${index} ${event.type}`);

  it('become master only together', () => {
    const wants = member('backup', {}, true);
    assert.deepEqual(orders([wants, member('backup')]), []);
    assert.deepEqual(orders([wants, wants]), ['0 group-master', '1 group-master']);
    assert.deepEqual(orders([wants, member('master')]), ['0 group-master']);
    assert.deepEqual(orders([wants, member('init')]), []);
  });

  it('give way together, fail together, recover together', () => {
    assert.deepEqual(orders([member('backup'), member('master'), member('master')], 0), [
      '1 group-backup',
      '2 group-backup',
    ]);
    const faulty = member('fault', { faulty: true });
    assert.deepEqual(orders([faulty, member('master'), member('backup')]), ['1 fault', '2 fault']);
    assert.deepEqual(orders([faulty, member('fault'), member('init')]), []);
    assert.deepEqual(orders([member('fault'), member('fault')]), ['0 recover', '1 recover']);
  });

  it('tell one state', () => {
    assert.equal(groupState([member('master'), member('master')]), 'MASTER');
    assert.equal(groupState([member('master'), member('backup')]), 'BACKUP');
    assert.equal(groupState([member('master'), member('fault')]), 'FAULT');
    assert.equal(groupState([member('backup'), member('init')]), 'INIT');
  });
});

describe('accept filter', () => {
  const { firewall } = globalDefaults('host');

  it('nft: one table that is replaced as a whole, and neighbour discovery goes through', () => {
    assert.equal(
      nftScript(firewall, ['10.0.0.1', 'fd00::1', '10.0.0.2']),
      `add table inet keepalived_accept
delete table inet keepalived_accept
table inet keepalived_accept {
  chain input {
    type filter hook input priority -1; policy accept;
    ip daddr { 10.0.0.1, 10.0.0.2 } drop
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    ip6 daddr { fd00::1 } drop
  }
}
`,
    );
    assert.equal(nftScript(firewall, []).split('\n').length, 3);
  });

  it('iptables: what was there goes first, and each family has its program', () => {
    const four = iptablesCommands(firewall, 'iptables', ['10.0.0.9', 'fd00::9'], ['10.0.0.1']);
    assert.deepEqual(
      four.map(({ words, mayFail }) => `${words.join(' ')}${mayFail ? ' ?' : ''}`),
      [
        'iptables -w -D INPUT -d 10.0.0.9 -j DROP ?',
        'iptables -w -D INPUT -d 10.0.0.1 -j DROP ?',
        'iptables -w -A INPUT -d 10.0.0.1 -j DROP',
      ],
    );
    const six = iptablesCommands(firewall, 'ip6tables', [], ['fd00::1']).filter(({ mayFail }) => !mayFail);
    assert.equal(six.length, 3);
    assert.match(six[0]!.words.join(' '), /neighbour-solicitation -j ACCEPT/);
  });
});

describe('lateness', () => {
  it('gives count, mean, quantile and the worst', () => {
    const lateness = new Lateness();
    assert.equal(lateness.quantile(0.99), 0);
    for (let i = 0; i < 99; i++) lateness.record(0.05);
    lateness.record(30);
    assert.equal(lateness.count, 100);
    assert.equal(lateness.quantile(0.99), 0.1);
    assert.equal(lateness.quantile(1), 30);
    assert.equal(lateness.max, 30);
    assert.ok(Math.abs(lateness.mean - 0.3495) < 1e-9);
    lateness.clear();
    assert.equal(lateness.count, 0);
  });
});
