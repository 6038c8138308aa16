import { deepEqual } from 'node:assert/strict';
import { Bulletin } from '../../../keepalived/bulletin.js';
import type { SidecarNews } from '../../../keepalived/sidecar.js';

describe('news between sidecars', () => {
  const quorum = (name: string, up: boolean): SidecarNews => ({
    topic: 'quorum',
    name,
    addresses: ['192.0.2.1'],
    up,
  });

  it('go to whom they concern', () => {
    const sent: string[] = [];
    const bulletin = new Bulletin((to, { topic, name }) => sent.push(`${to}: ${topic} ${name}`));
    bulletin.publish({ topic: 'bfd', name: 'b', up: true });
    bulletin.publish(quorum('V', true));
    bulletin.publish({ topic: 'vrrp', name: 'VI_1', master: true });
    deepEqual(sent, [
      'vrrp: bfd b',
      'healthcheck: bfd b',
      'ospf-bridge: bfd b',
      'ospf-bridge: quorum V',
      'ospf-bridge: vrrp VI_1',
    ]);
  });

  it('are repeated to a sidecar that starts later: the last word on each subject', () => {
    const sent: SidecarNews[] = [];
    let listening = false;
    const bulletin = new Bulletin((_to, news) => {
      if (listening) sent.push(news);
    });
    bulletin.publish(quorum('V', true));
    bulletin.publish(quorum('W', true));
    bulletin.publish(quorum('V', false));
    bulletin.publish({ topic: 'bfd', name: 'b', up: false });
    listening = true;
    bulletin.replay('ospf-bridge');
    deepEqual(sent, [quorum('V', false), quorum('W', true), { topic: 'bfd', name: 'b', up: false }]);
    sent.length = 0;
    bulletin.replay('vrrp');
    deepEqual(sent, [{ topic: 'bfd', name: 'b', up: false }]);
  });
});
