import type { SidecarName, SidecarNews } from './sidecar.js';

/** Who hears of what. */
const readers: Record<SidecarNews['topic'], readonly SidecarName[]> = {
  bfd: ['vrrp', 'healthcheck', 'ospf-bridge'],
  quorum: ['ospf-bridge'],
  vrrp: ['ospf-bridge'],
};

/**
 * What sidecars tell each other, passed on by the front door. The last word on each subject is kept, so that a sidecar that starts later,
 * or again, learns everything that was said before.
 */
export class Bulletin {
  readonly #last = new Map<string, SidecarNews>();
  readonly #send: (to: SidecarName, news: SidecarNews) => void;

  constructor(send: (to: SidecarName, news: SidecarNews) => void) {
    this.#send = send;
  }

  /** Passes news on to whom they concern. */
  publish(news: SidecarNews): void {
    this.#last.set(`${news.topic} ${news.name}`, news);
    for (const to of readers[news.topic]) this.#send(to, news);
  }

  /** Tells a sidecar that has just started all there is to know. */
  replay(to: SidecarName): void {
    for (const news of this.#last.values()) if (readers[news.topic].includes(to)) this.#send(to, news);
  }
}
