import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

function step(root: string, what: string, command: string, args: string[]): boolean {
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  if (done.error) {
    console.error(`setup: ${what}: ${command} did not start: ${done.error.message}`);
    return false;
  }
  if (done.status === 0) return true;
  process.stderr.write(done.stdout);
  process.stderr.write(done.stderr);
  console.error(`setup: ${what} failed (${command}, exit ${done.status})`);
  return false;
}

function newer(file: string, than: string): boolean {
  return !existsSync(than) || statSync(file).mtimeMs > statSync(than).mtimeMs;
}

/** TypeScript's half of dpvsd/control.proto, made anew when the contract changed. */
function generateContract(root: string): boolean {
  const proto = join(root, 'dpvsd', 'control.proto');
  const made = join(root, 'dpvsd', 'generated', 'control.ts');
  if (!newer(proto, made)) return true;
  mkdirSync(join(root, 'dpvsd', 'generated'), { recursive: true });
  return step(root, 'TypeScript of control.proto', 'protoc', [
    `--plugin=${join(root, 'node_modules', '.bin', 'protoc-gen-ts_proto')}`,
    '--ts_proto_out=dpvsd/generated',
    // Plain objects, numbers for 64-bit counters (2^53 packets are 70 years at 4 Mpps), tagged unions for oneof.
    '--ts_proto_opt=esModuleInterop=true,importSuffix=.js,outputServices=none,forceLong=number,oneof=unions-value,outputJsonMethods=false,unrecognizedEnum=false',
    '--proto_path=dpvsd',
    'dpvsd/control.proto',
  ]);
}

/**
 * Builds what is out of date: the contract's generated code, TypeScript into dist/, the native process into build/native/.
 * @param missing Debian packages known to be missing, which is the likely reason when a step fails
 * @returns whether everything is built
 */
export function build(root: string, missing: string[]): boolean {
  const done =
    generateContract(root) &&
    step(root, 'compiling TypeScript', process.execPath, [
      join('node_modules', 'typescript', 'bin', 'tsc'),
      '-p',
      '.',
    ]) &&
    step(root, 'compiling C', 'make', ['-s', '-j2', '-C', 'dpvsd/native']);
  if (!done && missing.length > 0) console.error('setup: not built, since the packages above are missing');
  return done;
}
