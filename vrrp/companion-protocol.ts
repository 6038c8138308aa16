import type { Global } from '../keepalived/model/global.js';
import type { Firewall, VrrpScript, VrrpTrackFile, VrrpTrackProcess } from '../keepalived/model/vrrp.js';
import type { Notification } from './notifications.js';

/**
 * Between the VRRP process and its companion. Starting a program, reading /proc and talking to a mail server take
 * milliseconds, which adverts every 10 ms do not have: the companion does all that.
 */
export type CompanionOrder =
  | {
      type: 'configure';
      global: Global;
      scripts: VrrpScript[];
      files: VrrpTrackFile[];
      processes: VrrpTrackProcess[];
      firewall: Firewall;
      /** Addresses of instances in no-accept mode. */
      refused: string[];
    }
  | {
      type: 'notify';
      notification: Notification /** Wait for the scripts, a second each at most. */;
      wait: boolean;
    }
  | { type: 'ping' }
  | { type: 'end' };

export type CompanionReport =
  /** A tracked script has ended. */
  | { type: 'script'; name: string; success: boolean }
  /** A tracked file says this number. */
  | { type: 'file'; name: string; value: number }
  /** So many processes match. */
  | { type: 'process'; name: string; count: number };

/** All that it says; `pong`: it heard a ping. */
export type CompanionAnswer = CompanionReport | { type: 'pong' };
