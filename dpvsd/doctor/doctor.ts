import { type Conf, parseConf } from '../conf/parse.js';
import type { Problem } from '../conf/problem.js';
import { type Files, type Machine, readMachine } from '../machine.js';
import { makePlan, type Plan } from '../plan/plan.js';
import { bad, type Finding, ok, warn } from './finding.js';
import {
  checkCpus,
  checkDeviceFiles,
  checkDpdk,
  checkDrivers,
  checkHugepages,
  checkKernel,
  checkLimits,
  checkMemory,
  checkNuma,
  type Patient,
} from './machine-checks.js';

function fromProblem(path: string, one: Problem): Finding {
  const text = `${one.line > 0 ? `${path}:${one.line}` : path}: ${one.what}: ${one.why}`;
  return (one.severity === 'error' ? bad : warn)('configuration', text, one.instead);
}

/** Kernel devices that af_packet and AF_XDP ports stand on must exist, be up, and not rewrite packets on their own. */
function checkPorts(files: Files, conf: Conf): Finding[] {
  const findings: Finding[] = [];
  for (const device of conf.model.netif_defs.device) {
    const iface = /^net_af_(?:packet|xdp)\w*,(?:.*,)?iface=([^,]+)/.exec(device.vdev ?? '')?.[1];
    if (iface === undefined) continue;
    const folder = `/sys/class/net/${iface}`;
    if (!files.exists(folder)) {
      findings.push(
        bad(
          'ports',
          `${device.name}: there is no kernel device ${iface}`,
          `ip link show lists those that exist; for a pair: ip link add ${iface} type veth peer name ${iface}-peer`,
        ),
      );
    } else if ((Number(files.read(`${folder}/flags`) ?? 0) & 1) === 0) {
      findings.push(bad('ports', `${device.name}: ${iface} is down`, `ip link set ${iface} up`));
    } else findings.push(ok('ports', `${device.name}: ${iface} is up`));
    const mtu = Number(files.read(`${folder}/mtu`) ?? 0);
    if (mtu > 0 && device.mtu > mtu) {
      findings.push(
        warn(
          'ports',
          `${device.name}: mtu ${device.mtu}, but ${iface} carries ${mtu}`,
          `ip link set ${iface} mtu ${device.mtu}, or write "mtu ${mtu}"`,
        ),
      );
    }
  }
  return findings;
}

/**
 * Looks at the machine, and at the configuration if there is one. Changes nothing.
 * @param confPath need not exist
 * @param user id of the user who would start dpvsd
 * @param eal what would stand behind `--`
 */
export function examine(files: Files, confPath: string, user: number, eal: string[] = []): Finding[] {
  const machine: Machine = readMachine(files);
  const text = files.read(confPath);
  const findings: Finding[] = [];
  let conf: Conf | undefined;
  let plan: Plan | undefined;
  if (text === undefined) {
    findings.push(
      files.exists(confPath)
        ? bad('configuration', `${confPath} cannot be read`, `chmod a+r ${confPath}, or start as root`)
        : warn(
            'configuration',
            `there is no ${confPath} yet`,
            'copy a sample from conf/: dpvs.conf.sample for NICs, dpvs.conf.vdev.sample for a lab',
          ),
    );
  } else {
    conf = parseConf(text);
    const made = makePlan(conf, machine, eal);
    plan = made.plan;
    findings.push(
      ...made.problems.filter((one) => one.severity !== 'note').map((one) => fromProblem(confPath, one)),
    );
    if (plan) {
      findings.push(
        ok(
          'configuration',
          `${confPath}: ${plan.ports.length} port${plan.ports.length === 1 ? '' : 's'}, ${plan.workers.length} worker${plan.workers.length === 1 ? '' : 's'}`,
        ),
      );
    }
  }
  const patient: Patient = {
    files,
    machine,
    user,
    needs: plan && {
      cards: plan.ports.filter((port) => port.bus === 'pci').map((port) => port.device),
      megabytes: plan.memory.megabytes,
      poll: plan.idle === 'poll',
    },
  };
  for (const check of [
    checkDpdk,
    checkHugepages,
    checkMemory,
    checkNuma,
    checkCpus,
    checkDrivers,
    checkLimits,
    checkDeviceFiles,
    checkKernel,
  ]) {
    findings.push(...check(patient));
  }
  if (conf) findings.push(...checkPorts(files, conf));
  return findings;
}

export function worst(findings: Finding[]): Finding['grade'] {
  for (const grade of ['bad', 'warn'] as const) if (findings.some((one) => one.grade === grade)) return grade;
  return 'ok';
}

/** One line per finding: grade, area, sentence, and behind an arrow what to do. The last line counts. */
export function showFindings(findings: Finding[]): string {
  const width = Math.max(...findings.map((one) => one.area.length));
  const lines = findings.map(
    ({ grade, area, text, mend }) =>
      `${grade.padEnd(4)}  ${area.padEnd(width)}  ${text}${mend ? ` -> ${mend}` : ''}`,
  );
  const count = (grade: Finding['grade']) => findings.filter((one) => one.grade === grade).length;
  lines.push(`${count('bad')} bad, ${count('warn')} to improve, ${count('ok')} well`);
  return `${lines.join('\n')}\n`;
}
