import { type Keyword, type Spec, value } from '../grammar/keyword.js';
import { bool, script } from '../grammar/shapes.js';
import type { NotifyScripts } from '../model/vrrp.js';

/** One of the scripts of an instance or a group; the first one stays. */
function notify<T extends { notify: NotifyScripts }>(
  name: string,
  key: 'master' | 'backup' | 'fault' | 'stop' | 'any' | 'masterReceivedLowerPriority',
  spec: Spec = {},
): Keyword<T> {
  return value(
    name,
    script,
    (target: T, read, line) => {
      if (target.notify[key]) line.report('error', `'${name}' is given twice, the first one stays`);
      else target.notify[key] = read;
    },
    spec,
  );
}

/** The keywords that vrrp_instance and vrrp_sync_group share. */
export function notifyKeywords<
  T extends { notify: NotifyScripts; smtpAlert?: boolean; notifyPriorityChanges?: boolean },
>(form: { group: boolean }): Keyword<T>[] {
  return [
    notify('notify_master', 'master'),
    notify('notify_backup', 'backup'),
    notify('notify_fault', 'fault'),
    notify('notify_stop', 'stop'),
    notify('notify', 'any'),
    value('smtp_alert', bool, (target: T, on) => {
      target.smtpAlert = on;
    }),
    value(
      'notify_priority_changes',
      bool,
      (target: T, on) => {
        target.notifyPriorityChanges = on;
      },
      form.group ? { in: 'upstream' } : {},
    ),
    ...(form.group
      ? []
      : [
          notify<T>('notify_master_rx_lower_pri', 'masterReceivedLowerPriority'),
          value<T, true | NonNullable<NotifyScripts['deleted']>>(
            'notify_deleted',
            {
              text: `[${script.text}]`,
              least: 0,
              read: (line) => (line.words.length < 2 ? true : script.read(line)),
            },
            (target, read) => {
              target.notify.deleted = read;
            },
            { in: 'upstream' },
          ),
        ]),
  ];
}
