import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { reference, sampleOfAllItems } from './document.js';

const place = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

writeFileSync(place('docs/dpvs-conf.md'), reference());
writeFileSync(place('conf/dpvs.conf.items'), sampleOfAllItems());
