import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parse } from '../../keepalived/parse.js';

/*
 * For the benchmark: as front door it reads a file and hands the load balancer's part to a sidecar over the same channel as the real
 * ones; as sidecar it answers when it has it all. The time includes the start of this process.
 */

const [file] = process.argv.slice(2);
if (file === undefined) {
  process.on('message', (text: string) => {
    const part = JSON.parse(text) as { loadBalancing: { virtualServers: { realServers: unknown[] }[] } };
    const servers = part.loadBalancing.virtualServers.reduce(
      (sum, server) => sum + server.realServers.length,
      0,
    );
    process.send?.(servers, () => process.exit(0));
  });
} else {
  // The sidecar starts while the file is read, as it does when the front door has one running.
  const sidecar = fork(fileURLToPath(import.meta.url), [], { serialization: 'advanced' });
  const { model, diagnostics } = parse(file);
  if (diagnostics.findings.length > 0)
    throw new Error(`the file is not in order: ${diagnostics.findings[0]?.text}`);
  sidecar.on('message', () => {
    process.send?.(process.uptime(), () => process.exit(0));
  });
  sidecar.send(JSON.stringify({ global: model.global, loadBalancing: model.loadBalancing }));
}
