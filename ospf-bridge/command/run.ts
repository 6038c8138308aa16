import type { OspfBridgePart } from '../../keepalived/model/index.js';
import { DEFAULT_BRIDGE_SOCKET } from '../../keepalived/model/ospf-bridge.js';
import { parse } from '../../keepalived/parse.js';
import { bridgePart } from '../../keepalived/resolve/ospf-bridge.js';
import { askBridge, type BridgeStatus } from '../control.js';
import { check } from './check.js';
import { applySetup, setupTexts } from './setup.js';
import { statusText } from './status.js';

const usage = `usage: ospf-bridge COMMAND [OPTIONS]
  status [--json]                each address: state, reason, since when, seen by the routing daemon; neighbours
  drain [--withdraw] [VIP...]    moves new flows away by a high metric (or withdraws); without addresses: all
  undrain [VIP...]               takes them back
  check [--json]                 compares configuration, kernel and routing daemon; exit 1 when something is missing
  setup [--apply]                prints what belongs into the routing daemon's configuration; --apply puts it there
  withdraw                       takes all announcements out of the kernel, without a running bridge: for after a crash

  -f, --file FILE                keepalived.conf (default /etc/keepalived/keepalived.conf)
  -s, --socket PATH              the bridge's control socket (default: as the file says)`;

class UsageError extends Error {}

interface Arguments {
  command: string;
  addresses: string[];
  json: boolean;
  withdraw: boolean;
  apply: boolean;
  file: string;
  socket: string | undefined;
}

function read(argv: readonly string[]): Arguments {
  const given: Arguments = {
    command: '',
    addresses: [],
    json: false,
    withdraw: false,
    apply: false,
    file: '/etc/keepalived/keepalived.conf',
    socket: process.env.OSPF_BRIDGE_SOCKET,
  };
  const words = [...argv];
  const operand = (name: string) => {
    const word = words.shift();
    if (word === undefined) throw new UsageError(`${name} wants an argument`);
    return word;
  };
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === '--json') given.json = true;
    else if (word === '--withdraw') given.withdraw = true;
    else if (word === '--apply') given.apply = true;
    else if (word === '-f' || word === '--file') given.file = operand(word);
    else if (word === '-s' || word === '--socket') given.socket = operand(word);
    else if (word.startsWith('-')) throw new UsageError(`unknown option '${word}'`);
    else if (given.command === '') given.command = word;
    else given.addresses.push(word);
  }
  return given;
}

/** The bridge's part of the configuration. @throws Error when there is none */
function configured(file: string): OspfBridgePart {
  const { model, found, diagnostics } = parse(file);
  if (!found) throw new Error(`${file} cannot be read: name it with -f`);
  if (!model.ospfBridge) {
    const missing = diagnostics.findings.filter(({ text }) => text.startsWith('include:'));
    throw new Error([`${file} has no ospf_bridge block`, ...missing.map(({ text }) => text)].join('; '));
  }
  const none = {
    releaseVips: false,
    dontReleaseVrrp: false,
    dontReleaseIpvs: false,
    addressMonitoring: false,
  };
  return bridgePart(model, none);
}

function socketOf({ socket, file }: Arguments): string {
  if (socket !== undefined) return socket;
  try {
    return configured(file).bridge.socket;
  } catch {
    return DEFAULT_BRIDGE_SOCKET;
  }
}

async function status(socket: string): Promise<BridgeStatus> {
  const reply = await askBridge(socket, { command: 'status' });
  if (!reply.ok) throw new Error(reply.error);
  return reply.status!;
}

async function run(given: Arguments): Promise<number> {
  const { command, addresses } = given;
  if (addresses.length > 0 && command !== 'drain' && command !== 'undrain')
    throw new UsageError(`'${command}' takes no addresses`);
  switch (command) {
    case 'status': {
      const found = await status(socketOf(given));
      process.stdout.write(given.json ? `${JSON.stringify(found, undefined, 2)}\n` : statusText(found));
      return 0;
    }
    case 'drain':
    case 'undrain': {
      const request =
        command === 'drain'
          ? { command: 'drain' as const, addresses, withdraw: given.withdraw }
          : { command: 'undrain' as const, addresses };
      const reply = await askBridge(socketOf(given), request);
      if (!reply.ok) throw new Error(reply.error);
      console.log(reply.text);
      return 0;
    }
    case 'check': {
      const findings = await check(configured(given.file));
      if (given.json) console.log(JSON.stringify(findings, undefined, 2));
      else for (const { level, text } of findings) console.log(`${level.padEnd(7)} ${text}`);
      return findings.some(({ level }) => level === 'error') ? 1 : 0;
    }
    case 'setup': {
      const part = configured(given.file);
      if (given.apply) {
        for (const line of await applySetup(part)) console.log(line);
        return 0;
      }
      process.stdout.write(
        setupTexts(part)
          .map(({ title, text }) => `! ${title}\n${text}`)
          .join('\n'),
      );
      return 0;
    }
    case 'withdraw': {
      const { Kernel } = await import('../kernel.js');
      const { bridge } = configured(given.file);
      const kernel = new Kernel(bridge);
      console.log(`${kernel.clear()} announcements withdrawn`);
      kernel.close();
      return 0;
    }
    case '':
      throw new UsageError('which command?');
    default:
      throw new UsageError(`unknown command '${command}'`);
  }
}

const argv = process.argv.slice(2);
if (argv.includes('-h') || argv.includes('--help')) console.log(usage);
else {
  try {
    process.exitCode = await run(read(argv));
  } catch (error) {
    console.error(`ospf-bridge: ${(error as Error).message}`);
    if (error instanceof UsageError) console.error(usage);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}
