import type { DumpKind } from '../keepalived/sidecar.js';
import type { Check } from './check-runner.js';
import { checkSubject } from './check-texts.js';
import type { Director } from './director/director.js';
import type { Engine } from './engine.js';
import { realServerName } from './names.js';
import { isAlive } from './virtual-server-machine.js';

/** State of all virtual servers for the operator: words for `data`, JSON for `json`, figures for `stats`. */
export function dumpText(kind: DumpKind, engine: Engine, director: Director): string {
  if (kind === 'json') return `${JSON.stringify(state(engine, director), undefined, 2)}\n`;
  const text = kind === 'data' ? words(engine, director) : figures(engine, director);
  if (kind === 'stats-clear') engine.runner.lateness.clear();
  return text;
}

function state(engine: Engine, director: Director) {
  const checks = checksByServer(engine);
  return {
    dataplane: { connected: director.connected, ...director.counters },
    checks: {
      total: engine.runner.checks().length,
      started: engine.runner.started,
      under_way: engine.runner.underWay,
      waiting: engine.runner.waiting,
      lateness_ms: {
        p50: engine.runner.lateness.quantile(0.5),
        p99: engine.runner.lateness.quantile(0.99),
        max: Math.round(engine.runner.lateness.max),
      },
    },
    virtual_servers: [...engine.runtimes.values()].map(({ machine, suspended }) => ({
      name: machine.name,
      quorum_up: machine.quorumUp,
      live_weight: machine.liveWeight,
      quorum: machine.model.quorum,
      hysteresis: machine.model.hysteresis,
      sorry_server_active: machine.sorry,
      suspended,
      real_servers: machine.servers.map((server) => ({
        name: realServerName(machine.model, server.model),
        alive: isAlive(server),
        weight: server.weight,
        checks: (checks.get(server) ?? []).map((check) => ({
          check: checkSubject(check.checker),
          up: check.state.up,
          runs: check.runs,
          failures: check.failures,
          last_run_seconds_ago: age(engine, check),
          last_verdict: verdictText(check),
        })),
      })),
    })),
  };
}

function checksByServer(engine: Engine): Map<object, Check[]> {
  const map = new Map<object, Check[]>();
  for (const check of engine.runner.checks()) {
    for (const { server } of check.subscriptions) {
      const list = map.get(server);
      if (list) list.push(check);
      else map.set(server, [check]);
    }
  }
  return map;
}

function age(engine: Engine, check: Check): number | null {
  return check.lastRun === undefined ? null : Math.round((engine.now() - check.lastRun) / 100) / 10;
}

function verdictText(check: Check): string {
  const verdict = check.lastVerdict;
  if (!verdict) return 'not run yet';
  return verdict.outcome === 'success' ? 'success' : `${verdict.outcome}: ${verdict.reason}`;
}

function words(engine: Engine, director: Director): string {
  const lines: string[] = ['------< LVS Topology >------'];
  const checks = checksByServer(engine);
  for (const { machine, suspended } of engine.runtimes.values()) {
    const { model } = machine;
    lines.push(
      ` VS ${machine.name}`,
      `   alive = ${suspended ? 'suspended' : 'yes'}`,
      `   lb_algo = ${model.scheduler}, lb_kind = ${model.forwarding.method}, protocol = ${model.protocol}`,
      `   quorum = ${model.quorum}, hysteresis = ${model.hysteresis}, quorum state = ${machine.quorumUp ? 'UP' : 'DOWN'}`,
      `   live weight = ${machine.liveWeight}, alpha = ${model.alpha ? 'ON' : 'OFF'}, omega = ${model.omega ? 'ON' : 'OFF'}`,
    );
    if (model.sorryServer) {
      const name = realServerName(model, model.sorryServer);
      lines.push(`   sorry server = ${name}, active = ${machine.sorry ? 'yes' : 'no'}`);
    }
    for (const server of machine.servers) {
      lines.push(
        `   RS ${realServerName(model, server.model)}`,
        `     alive = ${isAlive(server) ? 'yes' : 'no'}, weight = ${server.weight}, configured weight = ${server.model.weight}`,
      );
      for (const check of checks.get(server) ?? []) {
        const seconds = age(engine, check);
        const last = seconds === null ? 'not run yet' : `last run ${seconds} s ago`;
        const outcome = check.lastVerdict ? `, ${verdictText(check)}` : '';
        lines.push(
          `     ${checkSubject(check.checker)}: ${check.state.up ? 'up' : 'down'}, ${last}${outcome}`,
        );
      }
    }
  }
  return `${lines.join('\n')}\n${figures(engine, director)}`;
}

function figures(engine: Engine, director: Director): string {
  const { runner } = engine;
  const { lateness } = runner;
  return [
    '------< Health checks >------',
    ` checks = ${runner.checks().length}, begun = ${runner.started}, under way = ${runner.underWay}, waiting = ${runner.waiting}`,
    ` lateness p50 = ${lateness.quantile(0.5)} ms, p99 = ${lateness.quantile(0.99)} ms, max = ${Math.round(lateness.max)} ms`,
    ` dataplane = ${director.connected ? 'connected' : 'not connected'}, batches = ${director.counters.batches}, operations = ${director.counters.operations}, refused = ${director.counters.refused}`,
    '',
  ].join('\n');
}
