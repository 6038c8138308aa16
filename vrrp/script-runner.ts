import type { Script } from '../keepalived/model/script.js';
import type { VrrpScript } from '../keepalived/model/vrrp.js';
import type { ScriptResult } from '../keepalived/notify/index.js';
import type { Log } from '../lib/log.js';

interface Running {
  model: VrrpScript;
  timer: NodeJS.Timeout;
  busy: boolean;
  stopped: boolean;
}

/** Runs tracked scripts, each in its interval; a run that is due while the last one has not ended is left out. */
export class ScriptRunner {
  readonly #run: (script: Script, timeout: number) => Promise<ScriptResult>;
  readonly #report: (name: string, success: boolean) => void;
  readonly #log: Log;
  readonly #scripts = new Map<string, Running>();

  constructor(
    run: (script: Script, timeout: number) => Promise<ScriptResult>,
    report: (name: string, success: boolean) => void,
    log: Log,
  ) {
    this.#run = run;
    this.#report = report;
    this.#log = log;
  }

  /** The scripts to run from now on; one that did not change goes on in its rhythm. */
  configure(models: readonly VrrpScript[]): void {
    const wanted = new Map(models.map((model) => [model.name, model]));
    for (const [name, running] of this.#scripts) {
      const model = wanted.get(name);
      if (model && sameRun(model, running.model)) running.model = model;
      else this.#stop(name, running);
    }
    for (const model of models) if (!this.#scripts.has(model.name)) this.#start(model);
  }

  close(): void {
    for (const [name, running] of this.#scripts) this.#stop(name, running);
  }

  #start(model: VrrpScript): void {
    const running: Running = {
      model,
      timer: setInterval(() => void this.#once(running), Math.max(1, model.interval)),
      busy: false,
      stopped: false,
    };
    this.#scripts.set(model.name, running);
    void this.#once(running);
  }

  #stop(name: string, running: Running): void {
    clearInterval(running.timer);
    running.stopped = true;
    this.#scripts.delete(name);
  }

  async #once(running: Running): Promise<void> {
    if (running.busy) return;
    running.busy = true;
    const { name, script, timeout, interval } = running.model;
    const result = await this.#run(script, timeout > 0 ? timeout : interval);
    running.busy = false;
    if (running.stopped) return;
    if (result.timedOut)
      this.#log.warning(`script ${name} ran longer than ${timeout || interval} ms and was ended`);
    this.#report(name, result.code === 0 && !result.timedOut);
  }
}

function sameRun(a: VrrpScript, b: VrrpScript): boolean {
  return (
    JSON.stringify([a.script, a.interval, a.timeout]) === JSON.stringify([b.script, b.interval, b.timeout])
  );
}
