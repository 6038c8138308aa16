// Talks to a VTY from inside a namespace, or as another user, and prints what came of it as JSON:
// PORT PASSWORD ENABLE_PASSWORD COMMAND... or unix PATH COMMAND...
import { openTelnetVty } from '../../../lib/vty/telnet.js';
import { openUnixVty } from '../../../lib/vty/unix.js';
import { VtyError } from '../../../lib/vty/vty.js';

const words = process.argv.slice(2);
try {
  const unix = words[0] === 'unix';
  const [first = '', password = '', enablePassword = ''] = words;
  const vty = unix
    ? await openUnixVty(words[1] as string)
    : await openTelnetVty({
        host: '127.0.0.1',
        port: Number(first),
        password: password || undefined,
        enablePassword: enablePassword || undefined,
      });
  const answers: string[] = [];
  for (const command of words.slice(unix ? 2 : 3)) answers.push(await vty.ask(command));
  vty.close();
  console.log(JSON.stringify({ answers }));
} catch (error) {
  const fault = error instanceof VtyError ? error.fault : 'other';
  process.stdout.write(`${JSON.stringify({ fault, message: (error as Error).message })}\n`, () =>
    process.exit(),
  );
}
