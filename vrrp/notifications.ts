import type { Script } from '../keepalived/model/script.js';
import type { NotifyScripts } from '../keepalived/model/vrrp.js';

/** States as notifications tell them. */
export type NotifiedState =
  | 'MASTER'
  | 'BACKUP'
  | 'FAULT'
  | 'STOP'
  | 'DELETED'
  | 'MASTER_RX_LOWER_PRI'
  | 'MASTER_PRIORITY'
  | 'BACKUP_PRIORITY';

/** One event on its way to scripts, FIFO and mail, in this order. Plain data. */
export interface Notification {
  scripts: { script: Script; extra: string[] }[];
  fifo?: string;
  mail?: { subject: string; body: string };
}

export interface Notified {
  kind: 'INSTANCE' | 'GROUP';
  name: string;
  notify: NotifyScripts;
  smtpAlert: boolean;
}

const mails: Partial<Record<NotifiedState, { subject: string; body: string }>> = {
  MASTER: { subject: 'Entering MASTER state', body: 'is now owning VRRP VIPs' },
  BACKUP: { subject: 'Entering BACKUP state', body: 'is no longer owning VRRP VIPs' },
  FAULT: { subject: 'Entering FAULT state', body: 'is no longer owning VRRP VIPs' },
  STOP: { subject: 'Stopping', body: 'is no longer owning VRRP VIPs' },
  DELETED: { subject: 'Deleted', body: 'is no longer owning VRRP VIPs' },
};

/**
 * What a change of state says to the outside: the script for the state, then `notify` with kind, name, state and priority,
 * then a line in the FIFOs (`INSTANCE "VI_1" MASTER 100`), then mail.
 * @param priority effective priority; groups tell 0
 */
export function notificationOf(
  about: Notified,
  state: NotifiedState,
  priority: number,
  noFaultMail = false,
): Notification {
  const { notify, kind, name } = about;
  const told = kind === 'GROUP' ? 0 : priority;
  const specific: Partial<Record<NotifiedState, Script | true | undefined>> = {
    MASTER: notify.master,
    BACKUP: notify.backup,
    FAULT: notify.fault,
    STOP: notify.stop,
    DELETED: notify.deleted,
    MASTER_RX_LOWER_PRI: notify.masterReceivedLowerPriority,
  };
  const scripts: Notification['scripts'] = [];
  const own = specific[state];
  if (own && own !== true) scripts.push({ script: own, extra: [] });
  const stateChange = !state.endsWith('_PRIORITY') && state !== 'MASTER_RX_LOWER_PRI';
  if (notify.any && stateChange) {
    scripts.push({ script: notify.any, extra: [kind, name, state, String(told)] });
  }
  const mail = mails[state];
  const wanted = about.smtpAlert && mail !== undefined && !(state === 'FAULT' && noFaultMail);
  const called = kind === 'GROUP' ? 'VRRP Group' : 'VRRP Instance';
  return {
    scripts,
    fifo: `${kind} "${name}" ${state} ${told}`,
    ...(wanted
      ? { mail: { subject: `${called} ${name} - ${mail.subject}`, body: `=> ${called} ${mail.body} <=` } }
      : {}),
  };
}
