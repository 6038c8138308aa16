import { whyNoLab } from '../../../lab/needs.js';
import { removeStaleLabs } from '../../../lab/registry.js';
import { ensurePackages } from '../../../setup/machine.js';
import { Impossible } from '../impossible.js';
import { type Check, checksOf } from './cards.js';
import { Guest, IPC } from './guest.js';
import { fetchKernel } from './kernel.js';
import { cardsUnderTest, macOf, raiseRack, store } from './rack.js';
import { checksOfTwin } from './twins.js';

/** Runs checks one after the other; the first that fails ends them, since each begins where the last one stopped. */
async function pass(guest: Guest, title: string, checks: Check[]): Promise<boolean> {
  for (const [name, body] of checks) {
    const began = performance.now();
    try {
      await body();
      console.log(`    ok ${title}: ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
    } catch (error) {
      const said = await guest.log().catch(() => '');
      console.log(
        `    FAILED ${title}: ${name}: ${(error as Error).message}\n${said}\n${guest.machine.console}`,
      );
      await guest.stop().catch(() => guest.kill().catch(() => {}));
      return false;
    }
  }
  return true;
}

/**
 * Runs dpvsd in a virtual machine with Debian's kernel on the cards that QEMU imitates, under the drivers that real ones have,
 * and its kernel twins by TAP and by virtio-user. Without acceleration: what it measures are ratios, no more.
 * @param names cards, or `twins`; none: everything
 * @returns whether all of it passed
 * @throws {Impossible} when it cannot be done on this machine
 */
export async function vm(names: readonly string[]): Promise<boolean> {
  const known = [...cardsUnderTest.map(({ name }) => name), 'twins'];
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Impossible(`there is no "${unknown}", but: ${known.join(' ')}`);
  const reason = await whyNoLab(['iperf3', 'tcpdump', 'ping']);
  if (reason) throw new Impossible(reason);
  if (process.arch !== 'x64') throw new Impossible(`the cards are those of a PC, this is ${process.arch}`);
  if (ensurePackages(['vm']).length > 0)
    throw new Impossible('QEMU is not installed: apt-get install qemu-system-x86');
  const kernel = await fetchKernel(store).catch((error: Error) => {
    throw new Impossible(`Debian's kernel for the virtual machine cannot be fetched: ${error.message}`);
  });
  await removeStaleLabs();
  console.log('==> virtual machine');
  const rack = await raiseRack(kernel);
  const guest = new Guest(rack.machine, rack.lab);
  let passed = true;
  let ended = false;
  const ending = () => {
    ended = true;
    void rack.close().finally(() => process.exit(1));
  };
  process.once('SIGINT', ending).once('SIGTERM', ending);
  try {
    await rack.machine.relay(rack.lab.record.ipc, IPC);
    const addresses: string[] = [];
    for (const place of cardsUnderTest.keys()) addresses.push(await guest.addressOf(macOf(place)));
    passed = await pass(guest, 'doctor', [
      [
        'names the cards and the command that hands one over',
        async () => {
          const { text } = await guest.doctor();
          for (const address of addresses)
            if (!text.includes(`${address} `)) throw new Error(`${address} is missing in:\n${text}`);
          if (!/no card is handed to DPDK -> modprobe vfio-pci; dpdk-devbind\.py --bind=vfio-pci/.test(text))
            throw new Error(text);
        },
      ],
    ]);
    for (const [place, card] of cardsUnderTest.entries()) {
      if (names.length > 0 && !names.includes(card.name)) continue;
      const done = await pass(guest, card.name, checksOf(guest, card, addresses[place]!, place));
      passed &&= done;
    }
    if (names.length === 0 || names.includes('twins')) {
      const figures = new Map<string, number>();
      await guest.bind(addresses[0]!, 'vfio-pci');
      for (const kind of ['tap', 'virtio-user'] as const) {
        const done = await pass(guest, `twin by ${kind}`, checksOfTwin(guest, addresses[0]!, kind, figures));
        passed &&= done;
      }
      for (const way of ['in', 'out']) {
        const [tap, virtio] = [figures.get(`tap ${way}`), figures.get(`virtio-user ${way}`)];
        if (tap !== undefined && virtio !== undefined)
          console.log(
            `    TCP ${way}: TAP ${tap.toFixed(0)} Mb/s, virtio-user ${virtio.toFixed(0)} Mb/s: ${(virtio / tap).toFixed(2)} times`,
          );
      }
    }
  } catch (error) {
    // Ctrl-C: the machine goes away under whatever was going on.
    if (!ended) throw error;
    passed = false;
  } finally {
    process.removeListener('SIGINT', ending).removeListener('SIGTERM', ending);
    await rack.close();
  }
  console.log(`<== virtual machine: ${passed ? 'passed' : 'failed'}`);
  return passed;
}
