import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CommandFailed, type Finished, Hopeless, type Running, until } from '../../../lab/command.js';
import type { Host } from '../../../lab/host.js';
import { initramfs, moduleClosure } from './initramfs.js';
import type { Kernel } from './kernel.js';
import { Line } from './line.js';

/** Runs what comes as a line `ID SECONDS COMMAND` (the command in base64), and answers `ID CODE OUTPUT`. One at a time. */
const agent = `export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
ip link set lo up
for port in /dev/vport*p1; do exec 3<>$port; done
echo "0 0 " >&3
while read -r id seconds command <&3; do
  printf %s "$command" | base64 -d > /run/agent.command
  timeout -k 5 "$seconds" bash /run/agent.command > /run/agent.output 2>&1 < /dev/null 3>&-
  echo "$id $? $(tail -c 60000 /run/agent.output | base64 -w0)" >&3
done
`;

/** A network card of the virtual machine, on a TAP of the host that it runs on. */
export interface Card {
  /** QEMU's name of the card: virtio-net-pci, e1000 ... */
  model: string;
  /** Further properties, as QEMU writes them: `mq=on,vectors=6`. */
  properties?: string;
  /** TAP in the host's namespace; several queues need a TAP that was made with multi_queue. */
  tap: string;
  queues: number;
  mac: string;
}

export interface MachineOptions {
  kernel: Kernel;
  /** Modules that are loaded at boot, by name; what they need comes with them. */
  modules: readonly string[];
  cards: readonly Card[];
  cpus: number;
  megabytes: number;
  /** Words for the kernel's command line. */
  append: string;
  /** Folder for sockets and the first file system. */
  folder: string;
}

const socketTo = (path: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.on('connect', () => resolve(socket));
    socket.on('error', reject);
  });

/** A virtual machine in QEMU without acceleration, which has this machine's files read-only as its own. */
export class Machine {
  readonly #qemu: Running;
  readonly #folder: string;
  #agent: Socket | undefined;
  #line: Line | undefined;
  #answers = '';
  #number = 0;

  private constructor(qemu: Running, folder: string) {
    this.#qemu = qemu;
    this.#folder = folder;
  }

  /** Starts it in a host's namespace, and waits until it takes commands. */
  static async start(host: Host, options: MachineOptions): Promise<Machine> {
    const { kernel, cards, folder } = options;
    const image = join(folder, 'initramfs');
    writeFileSync(image, initramfs(kernel.busybox, moduleClosure(kernel.modules, options.modules), agent));
    const nics = cards.flatMap(({ model, properties, tap, queues, mac }, index) => [
      '-netdev',
      `tap,id=net${index},ifname=${tap},script=no,downscript=no${queues > 1 ? `,queues=${queues}` : ''}`,
      '-device',
      `${model},id=card${index},netdev=net${index},mac=${mac}${properties ? `,${properties}` : ''}`,
    ]);
    const qemu = host.start([
      'qemu-system-x86_64',
      ...['-machine', 'q35,accel=tcg,kernel-irqchip=split', '-cpu', 'max'],
      ...['-smp', String(options.cpus), '-m', String(options.megabytes)],
      ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
      // With translation for virtio cards too, as a real IOMMU would have it.
      ...['-device', 'intel-iommu,intremap=on,caching-mode=on,device-iotlb=on'],
      ...['-kernel', kernel.image, '-initrd', image],
      ...['-append', `console=ttyS0 panic=-1 quiet ${options.append}`],
      ...['-serial', 'stdio'],
      ...['-monitor', `unix:${join(folder, 'monitor')},server=on,wait=off`],
      ...['-fsdev', 'local,id=files,path=/,security_model=none,readonly=on,multidevs=remap'],
      ...['-device', 'virtio-9p-pci,fsdev=files,mount_tag=files'],
      ...['-chardev', `socket,id=agent,path=${join(folder, 'agent')},server=on,wait=off`],
      ...['-device', 'virtio-serial-pci', '-device', 'virtserialport,chardev=agent,name=agent,nr=1'],
      ...['-chardev', `socket,id=relay,path=${join(folder, 'relay')},server=on,wait=off`],
      ...['-device', 'virtserialport,chardev=relay,name=relay,nr=2'],
      ...nics,
    ]);
    const machine = new Machine(qemu, folder);
    try {
      machine.#agent = await until('the socket of the virtual machine', async () => {
        if (qemu.ended) throw new Hopeless(`QEMU: ${qemu.ended}: ${qemu.output}`);
        return await socketTo(join(folder, 'agent'));
      });
      machine.#agent.setEncoding('utf8').on('data', (text: string) => {
        machine.#answers += text;
      });
      await machine.#answer(0, 180_000);
    } catch (error) {
      await machine.stop();
      throw new Error(`${(error as Error).message}\n${qemu.output.slice(-3000)}`);
    }
    return machine;
  }

  async #answer(id: number, limit: number): Promise<{ code: number; text: string }> {
    return await until(
      `answer ${id} of the virtual machine`,
      () => {
        if (this.#qemu.ended) throw new Hopeless(`QEMU: ${this.#qemu.ended}`);
        const found = new RegExp(`^${id} (\\d+) (\\S*)\\r?\\n`, 'm').exec(this.#answers);
        if (!found) return undefined;
        this.#answers = '';
        return { code: Number(found[1]), text: Buffer.from(found[2] ?? '', 'base64').toString() };
      },
      { limit, every: 20 },
    );
  }

  /**
   * Runs a script of bash in it; a failure is for the caller to judge. Standard error comes with standard output.
   * @param seconds after which it is ended there
   */
  async attempt(script: string, seconds = 120): Promise<Finished> {
    const id = ++this.#number;
    this.#agent?.write(`${id} ${seconds} ${Buffer.from(script).toString('base64')}\n`);
    const { code, text } = await this.#answer(id, (seconds + 30) * 1000);
    return { code, stdout: text, stderr: '' };
  }

  /** Runs a script of bash in it, which has to succeed. @returns what it printed */
  async run(script: string, seconds = 120): Promise<string> {
    const finished = await this.attempt(script, seconds);
    if (finished.code !== 0) throw new CommandFailed(['(in the virtual machine)', script], finished);
    return finished.stdout;
  }

  /**
   * Makes a Unix socket of this machine stand for one of the virtual machine.
   * @param path here
   * @param there need not exist yet
   */
  async relay(path: string, there: string): Promise<void> {
    const program = fileURLToPath(new URL('./relay.js', import.meta.url));
    this.#line = new Line(await socketTo(join(this.#folder, 'relay')), path);
    await this.run(
      `setsid ${process.execPath} ${program} /dev/vport*p2 ${there} > /run/relay.log 2>&1 < /dev/null &`,
    );
    await until('the relay in the virtual machine', () => this.#line?.ready, { limit: 90_000 });
  }

  /** Pulls the cable of a card, by its place in the list, or plugs it in. */
  async link(card: number, up: boolean): Promise<void> {
    const monitor = await socketTo(join(this.#folder, 'monitor'));
    let said = '';
    monitor.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    monitor.write(`set_link card${card} ${up ? 'on' : 'off'}\n`);
    // The prompt after the command's echo: it is carried out.
    await until('the monitor of QEMU', () => /set_link[\s\S]*\n\(qemu\)/.test(said), { limit: 10_000 });
    monitor.destroy();
  }

  /** What its console said last. */
  get console(): string {
    return this.#qemu.output.slice(-4000);
  }

  async stop(): Promise<void> {
    this.#agent?.destroy();
    this.#line?.close();
    await this.#qemu.stop(3000);
  }
}
