import { deepEqual } from 'node:assert/strict';
import { addressDefaults } from '../../../keepalived/model/vrrp.js';
import { awaitedServices } from '../../../keepalived/resolve/vrrp-services.js';

describe('services that VRRP waits for', () => {
  type Source = Parameters<typeof awaitedServices>[0];
  const service = (address: string, port: number, haSuspend = false) => ({
    target: { kind: 'address' as const, address, port },
    protocol: 'TCP' as const,
    haSuspend,
  });
  const instance = (addresses: string[], excluded: string[], dpdkInterface?: string) => ({
    virtualAddresses: addresses.map((address) => addressDefaults(address)),
    excludedAddresses: excluded.map((address) => addressDefaults(address)),
    ...(dpdkInterface === undefined ? {} : { dpdkInterface }),
  });
  const awaited = (
    instances: Source['vrrp']['instances'],
    virtualServers: Source['loadBalancing']['virtualServers'],
  ) =>
    awaitedServices({ vrrp: { instances }, loadBalancing: { virtualServers } }).map(
      ({ protocol, address, port }) => `${protocol} ${address} ${port}`,
    );

  it('are those at addresses that instances move within the dataplane', () => {
    const kernel = instance(['10.0.0.2'], []);
    const services = [
      service('10.0.0.1', 80),
      service('10.0.0.1', 443, true),
      service('10.0.0.2', 80),
      service('10.0.0.3', 80),
      service('fd00:0:0::1', 53),
      { ...service('', 0), target: { kind: 'fwmark' as const, mark: 7, family: 4 as const } },
    ];
    deepEqual(awaited([instance(['10.0.0.1'], ['fd00::1'], 'dpdk0'), kernel], services), [
      'TCP 10.0.0.1 80',
      'TCP fd00::1 53',
    ]);
    deepEqual(awaited([kernel], services), []);
  });

  it('are few of many', () => {
    const ports = Array.from({ length: 20 }, (_, index) => 1000 + index);
    deepEqual(
      awaited(
        [instance(['10.0.0.1'], [], 'dpdk0')],
        ports.map((port) => service('10.0.0.1', port)),
      ),
      ports.slice(-8).map((port) => `TCP 10.0.0.1 ${port}`),
    );
  });
});
