// Talks to a telnet VTY from inside a namespace, and prints what came of it as JSON: PORT PASSWORD ENABLE_PASSWORD COMMAND...
import { openTelnetVty } from '../../../lib/vty/telnet.js';
import { VtyError } from '../../../lib/vty/vty.js';

const words = process.argv.slice(2);
try {
  const [port = '', password = '', enablePassword = ''] = words;
  const vty = await openTelnetVty({
    host: '127.0.0.1',
    port: Number(port),
    password: password || undefined,
    enablePassword: enablePassword || undefined,
  });
  const answers: string[] = [];
  for (const command of words.slice(3)) answers.push(await vty.ask(command));
  vty.close();
  console.log(JSON.stringify({ answers }));
} catch (error) {
  const fault = error instanceof VtyError ? error.fault : 'other';
  process.stdout.write(`${JSON.stringify({ fault, message: (error as Error).message })}\n`, () =>
    process.exit(),
  );
}
