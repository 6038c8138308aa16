import type { Scene } from '../scene.js';
import { clientAddressScenes } from './client-address.js';
import { directScenes } from './direct.js';
import { malformedScenes } from './malformed.js';
import { routerScenes } from './router.js';
import { translatedScenes } from './translated.js';

export function allScenes(): Scene[] {
  return [
    ...translatedScenes(),
    ...clientAddressScenes(),
    ...directScenes(),
    ...routerScenes(),
    ...malformedScenes(),
  ];
}
