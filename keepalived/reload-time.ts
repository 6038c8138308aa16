/**
 * The time of `reload_time_file`: `HH:MM:SS`, `YY-MM-DD HH:MM:SS` or `YYYY-MM-DD HH:MM:SS`, local time or, with a `Z` behind it, UTC.
 * @returns milliseconds since 1970; undefined when the text is something else or the time has passed. A time without date that has
 *   passed today means tomorrow.
 */
export function readReloadTime(text: string, now: Date): number | undefined {
  const line = text.split('\n')[0] as string;
  const match = /^(?:(\d{2}|\d{4})-(\d{2})-(\d{2}) )?(\d{2}):(\d{2}):(\d{2})(Z)?$/.exec(line);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, second, utc] = match;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return undefined;
  const time = [Number(hour), Number(minute), Number(second)] as const;
  if (year === undefined) {
    const today = new Date(now);
    if (utc) today.setUTCHours(...time, 0);
    else today.setHours(...time, 0);
    if (today.getTime() <= now.getTime()) {
      if (utc) today.setUTCDate(today.getUTCDate() + 1);
      else today.setDate(today.getDate() + 1);
    }
    return today.getTime();
  }
  if (Number(month) < 1 || Number(month) > 12 || Number(day) < 1 || Number(day) > 31) return undefined;
  const full = year.length === 2 ? 2000 + Number(year) : Number(year);
  const date = utc
    ? Date.UTC(full, Number(month) - 1, Number(day), ...time)
    : new Date(full, Number(month) - 1, Number(day), ...time).getTime();
  return date > now.getTime() ? date : undefined;
}
