// A process that owns a lab until it is killed.
import { Lab } from '../../lab/lab.js';

await Lab.create({ title: 'will be orphaned', servers: 1 });
console.log('built');
setInterval(() => {}, 1000);
