import type { Model } from './model/index.js';

export function writeModel(model: Model): string {
  return JSON.stringify(model, null, 1);
}
