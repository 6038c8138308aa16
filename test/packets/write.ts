/**
 * Writes the fixture files from the scenes: `node dist/test/packets/write.js`. They are kept in the repository, so that a
 * change of what is expected is a change that somebody reads; a test sees to it that they are what the scenes say.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from './root.js';
import { sceneText } from './scene.js';
import { allScenes } from './scenes/index.js';

const folder = join(projectRoot, 'test', 'packets', 'fixtures');
mkdirSync(folder, { recursive: true });
for (const name of readdirSync(folder)) if (name.endsWith('.txt')) rmSync(join(folder, name));
for (const scene of allScenes()) writeFileSync(join(folder, `${scene.name}.txt`), sceneText(scene));
