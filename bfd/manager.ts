import { randomInt } from 'node:crypto';
import type { BfdInstance, BfdModel } from '../keepalived/model/bfd.js';
import type { Timer } from '../lib/clock.js';
import { formatIp, parseIp } from '../lib/ip.js';
import { LibcError } from '../lib/libc.js';
import type { Log } from '../lib/log.js';
import { Poller } from '../lib/poller.js';
import { Bfdd, type BfddPeer, peerFor, peerLines } from './bfdd.js';
import { type ControlPacket, decodeControl, encodeControl } from './packet.js';
import { Session } from './session.js';
import { type Received, type Sender, Transport } from './transport.js';

/** How long after the start a session may take before it is told to be down: others go on with what they knew. Milliseconds. */
const PATIENCE = 3000;
/** Pause before sockets that were refused are tried again, and between complaints about one thing, milliseconds. */
const RETRY = 5000;
const COMPLAINT_INTERVAL = 60_000;
/** How often it is looked whether FRR's bfdd has come, milliseconds. */
const BFDD_INTERVAL = 1000;

interface Entry {
  model: BfdInstance;
  session: Session;
  sender: Sender | undefined;
  /** What others were told last. */
  told: boolean | undefined;
  patience: Timer | undefined;
  retry: Timer | undefined;
  dropped: number;
  /** What bfdd says of it, while that is followed. */
  followed: string | undefined;
}

/** All BFD sessions of this node: own ones, or those of FRR's bfdd where that runs. */
export class Manager {
  readonly poller: Poller;
  readonly #log: Log;
  readonly #transport: Transport;
  readonly #tell: (name: string, up: boolean) => void;
  readonly #entries = new Map<string, Entry>();
  readonly #byNeighbour = new Map<string, Entry>();
  readonly #byDiscriminator = new Map<number, Entry>();
  readonly #complaints = new Map<string, number>();
  readonly #bfdd: Bfdd | undefined;
  #whose: 'undecided' | 'own' | 'bfdd' = 'undecided';
  #watch: Timer | undefined;
  /** A bfdd that has just come may take until then to get its sessions up, unless they were up already. */
  #patientUntil = 0;
  readonly #seenUp = new Set<Entry>();
  #silentSince: number | undefined;

  /**
   * @param tell others are told when a session comes up or goes down
   * @param frr folder of FRR's VTY sockets; absent: bfdd is not looked for
   */
  constructor(log: Log, tell: (name: string, up: boolean) => void, frr: string | undefined) {
    this.#log = log;
    this.#tell = tell;
    this.poller = new Poller((error) => {
      log.error(`internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    });
    this.#transport = new Transport(this.poller);
    this.#transport.onPacket = (received) => this.#received(received);
    this.#bfdd = frr === undefined ? undefined : new Bfdd(this.poller, frr);
  }

  /** Puts a configuration in force. Sessions that stay keep their state; other timers are told to the neighbour. */
  apply({ sessions }: BfdModel): void {
    const wanted = new Map(sessions.map((one) => [one.name, one]));
    for (const [name, entry] of this.#entries) {
      const model = wanted.get(name);
      if (model && sameWay(model, entry.model)) continue;
      this.#log.info(`BFD_Instance(${name}) removed by the new configuration`);
      this.#remove(entry);
    }
    for (const model of sessions) {
      const known = this.#entries.get(model.name);
      if (known) {
        known.model = model;
        known.session.configure(model);
      } else {
        this.#add(model);
      }
    }
    if (this.#whose === 'undecided') this.#decide();
  }

  /** Text for `keepalived_bfd.data`. */
  describe(): string {
    const lines: string[] = [];
    for (const { model, session, dropped, followed } of this.#entries.values()) {
      const { remote, counters } = session;
      if (this.#whose === 'bfdd') {
        lines.push(
          ` BFD Instance = ${model.name}`,
          `   Neighbor IP = ${model.neighbourIp}${model.multihop ? ' (multihop)' : ''}`,
          `   State = ${followed ?? 'not read yet'}, a session of FRR's bfdd`,
        );
        continue;
      }
      lines.push(
        ` BFD Instance = ${model.name}`,
        `   Neighbor IP = ${model.neighbourIp}${model.multihop ? ' (multihop)' : ''}`,
        `   Source IP = ${model.sourceIp ?? 'as routed'}`,
        `   State = ${session.state}, diagnostic ${session.diagnostic}`,
        `   Remote state = ${remote.state}, diagnostic ${remote.diagnostic}, discriminator ${remote.discriminator}`,
        `   Local discriminator = ${session.discriminator}`,
        `   Required min RX interval = ${model.minRx} ms, desired min TX interval = ${model.minTx} ms, multiplier = ${model.multiplier}`,
        `   Remote min TX = ${remote.minTx} ms, min RX = ${remote.minRx} ms, multiplier = ${remote.multiplier}`,
        `   Transmit interval = ${session.transmitInterval} ms, detection time = ${session.detectionTime} ms`,
        `   Packets sent = ${counters.sent}, received = ${counters.received}, refused = ${dropped}`,
        `   Times up = ${counters.ups}, down = ${counters.downs}`,
      );
    }
    return lines.length === 0 ? '' : `------< BFD Topology >------\n${lines.join('\n')}\n`;
  }

  /** Tells the neighbours that this is no failure, and ends. */
  stop(): void {
    this.#watch?.cancel();
    this.#bfdd?.close();
    for (const entry of [...this.#entries.values()]) this.#remove(entry);
    this.#transport.close();
    this.poller.close();
  }

  #add(model: BfdInstance): void {
    let discriminator = randomInt(1, 0xffffffff);
    while (this.#byDiscriminator.has(discriminator)) discriminator = randomInt(1, 0xffffffff);
    const session = new Session(discriminator, model, {
      clock: this.poller,
      random: Math.random,
      send: (packet) => this.#send(entry, packet),
      changed: (state, diagnostic) => {
        this.#log.info(`BFD_Instance(${model.name}) Entering ${state} state (${diagnostic})`);
        if (state === 'Up') this.#report(entry, true);
        else if (state === 'Down') this.#lost(entry);
      },
    });
    const entry: Entry = {
      model,
      session,
      sender: undefined,
      told: undefined,
      patience: undefined,
      retry: undefined,
      dropped: 0,
      followed: undefined,
    };
    this.#entries.set(model.name, entry);
    this.#byNeighbour.set(formatIp(parseIp(model.neighbourIp)), entry);
    this.#byDiscriminator.set(discriminator, entry);
    entry.patience = this.poller.after(
      PATIENCE,
      () => {
        if (this.#whose === 'own' && session.state !== 'Up') this.#report(entry, false);
      },
      'patience with a BFD session',
    );
    if (this.#whose === 'own') this.#open(entry);
  }

  /** Two BFD daemons cannot share the port: where bfdd is, its sessions are followed. */
  #decide(): void {
    void this.#bfddAnswers().then((answers) => {
      if (answers) this.#follow();
      else this.#begin();
    });
  }

  async #bfddAnswers(): Promise<boolean> {
    return (await this.#bfdd?.answers()) ?? false;
  }

  #begin(): void {
    this.#whose = 'own';
    for (const entry of this.#entries.values()) this.#open(entry);
    if (this.#bfdd) this.#watchForBfdd();
  }

  /** bfdd may come later; it then has the port, and we hear nothing any more. */
  #watchForBfdd(): void {
    this.#watch = this.poller.after(
      BFDD_INTERVAL,
      () => {
        void this.#bfddAnswers().then((answers) => {
          if (this.#whose !== 'own') return;
          if (answers) this.#follow();
          else this.#watchForBfdd();
        });
      },
      'coming of bfdd',
    );
  }

  /** A session of ours is down: because of the neighbour, or because bfdd has taken the port. */
  #lost(entry: Entry): void {
    if (!this.#bfdd?.present) {
      this.#report(entry, false);
      return;
    }
    void this.#bfddAnswers().then((answers) => {
      if (this.#whose !== 'own') return;
      if (answers) this.#follow();
      else if (entry.session.state !== 'Up') this.#report(entry, false);
    });
  }

  #follow(): void {
    this.#whose = 'bfdd';
    this.#watch?.cancel();
    this.#log.notice("FRR's bfdd runs here and has the port: its sessions are followed, none are sent");
    for (const entry of this.#entries.values()) {
      entry.retry?.cancel();
      entry.session.close();
      entry.sender?.close();
      entry.sender = undefined;
    }
    this.#transport.close();
    this.#patientUntil = this.poller.now() + PATIENCE;
    this.#bfdd?.follow((peers, error) => this.#heard(peers, error));
  }

  #heard(peers: readonly BfddPeer[] | undefined, error: string | undefined): void {
    const now = this.poller.now();
    if (!peers) {
      this.#complain(`the sessions of FRR's bfdd cannot be read: ${error}`);
      // What it said last holds for a while: it may only be starting anew.
      this.#silentSince ??= now;
      if (now - this.#silentSince < PATIENCE) return;
      for (const entry of this.#entries.values()) this.#say(entry, 'unknown');
      return;
    }
    if (this.#silentSince !== undefined) {
      this.#silentSince = undefined;
      this.#patientUntil = now + PATIENCE;
      this.#seenUp.clear();
    }
    for (const entry of this.#entries.values()) {
      const peer = peerFor(entry.model, peers);
      if (peer?.status === 'up') this.#seenUp.add(entry);
      // A bfdd that has just come has not got its sessions up yet.
      else if (now < this.#patientUntil && !this.#seenUp.has(entry)) continue;
      if (!peer)
        this.#complain(
          `BFD_Instance(${entry.model.name}): FRR's bfdd has the port and knows no such session: add '${peerLines(entry.model)}' to its configuration`,
        );
      this.#say(entry, peer?.status ?? 'none');
    }
  }

  #say(entry: Entry, status: string): void {
    if (entry.followed !== status)
      this.#log.info(
        `BFD_Instance(${entry.model.name}) Entering ${status === 'up' ? 'Up' : 'Down'} state (bfdd: ${status})`,
      );
    entry.followed = status;
    this.#report(entry, status === 'up');
  }

  #open(entry: Entry): void {
    const { neighbourIp, sourceIp, ttl, multihop } = entry.model;
    const neighbour = parseIp(neighbourIp);
    try {
      this.#transport.listen(neighbour.length === 4 ? 4 : 6, multihop);
      entry.sender = this.#transport.sender({
        neighbour,
        ttl,
        multihop,
        ...(sourceIp === undefined ? {} : { source: parseIp(sourceIp) }),
      });
      entry.session.start();
    } catch (error) {
      if (!(error instanceof LibcError)) throw error;
      const why =
        error.code === 'EADDRINUSE'
          ? 'another BFD daemon has the port, and no bfdd of FRR answers: end it, or leave this session to it'
          : error.code === 'EADDRNOTAVAIL'
            ? `the source address ${sourceIp} is not there`
            : error.message;
      this.#complain(`BFD_Instance(${entry.model.name}) cannot begin: ${why}`);
      entry.retry = this.poller.after(RETRY, () => this.#open(entry), 'BFD sockets');
    }
  }

  #remove(entry: Entry): void {
    entry.patience?.cancel();
    entry.retry?.cancel();
    entry.session.close();
    entry.sender?.close();
    this.#entries.delete(entry.model.name);
    this.#seenUp.delete(entry);
    this.#byNeighbour.delete(formatIp(parseIp(entry.model.neighbourIp)));
    this.#byDiscriminator.delete(entry.session.discriminator);
  }

  #send(entry: Entry, packet: ControlPacket): void {
    entry.sender?.send(encodeControl(packet));
  }

  #received({ source, ttl, multihop, payload }: Received): void {
    const packet = decodeControl(payload);
    if ('reason' in packet) {
      this.#complain(`BFD packet from ${source} refused: ${packet.reason}`);
      return;
    }
    // RFC 5880 6.8.6: our discriminator, where it is given, tells the session; else the sender's address does.
    const entry =
      packet.yourDiscriminator !== 0
        ? this.#byDiscriminator.get(packet.yourDiscriminator)
        : this.#byNeighbour.get(source);
    if (
      !entry ||
      formatIp(parseIp(entry.model.neighbourIp)) !== source ||
      entry.model.multihop !== multihop
    ) {
      this.#complain(`BFD packet from ${source}, which belongs to no session`);
      return;
    }
    // RFC 5881 5: over one hop nobody but a neighbour can send a TTL of 255. RFC 5883 has no such rule.
    const { maxHops, ttl: expected } = entry.model;
    const limit = multihop && maxHops === 0 ? -1 : maxHops;
    if (limit >= 0 && expected - ttl > limit) {
      entry.dropped++;
      this.#complain(
        `BFD_Instance(${entry.model.name}) packet with TTL ${ttl}: ${expected - limit} is the least`,
      );
      return;
    }
    entry.session.receive(packet);
  }

  #report(entry: Entry, up: boolean): void {
    entry.patience?.cancel();
    if (entry.told === up) return;
    entry.told = up;
    this.#tell(entry.model.name, up);
  }

  /** Whoever sends rubbish must not fill the log. */
  #complain(sentence: string): void {
    const now = this.poller.now();
    const last = this.#complaints.get(sentence);
    if (last !== undefined && now - last < COMPLAINT_INTERVAL) return;
    if (this.#complaints.size > 1000) this.#complaints.clear();
    this.#complaints.set(sentence, now);
    this.#log.warning(sentence);
  }
}

/** Whether a session stays the same one: everything else about it may change. */
function sameWay(a: BfdInstance, b: BfdInstance): boolean {
  return (
    a.neighbourIp === b.neighbourIp &&
    a.sourceIp === b.sourceIp &&
    a.multihop === b.multihop &&
    a.ttl === b.ttl &&
    a.passive === b.passive
  );
}
