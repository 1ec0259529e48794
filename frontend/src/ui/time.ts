/** Times and durations as words. Pure: zone and now are arguments. */

const UNITS: readonly [string, number][] = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
];

/** `4 s`, `12 min`, `3 h 20 min`, `2 d 4 h`: at most two units, and the second only where it matters. */
export function durationText(seconds: number): string {
  let left = Math.max(0, Math.round(seconds));
  const parts: string[] = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(left / size);
    if (count === 0 && parts.length === 0 && unit !== 's') continue;
    left -= count * size;
    // Seconds beside hours say nothing: the second unit is the next one, or there is none.
    if (count === 0 && parts.length > 0) break;
    parts.push(`${count} ${unit}`);
    if (parts.length === 2 || (parts.length === 1 && (unit === 's' || count >= 10))) break;
  }
  return parts.join(' ');
}

/** `2026-03-01 11:50:04 UTC` or, in the reader's zone, `2026-03-01 12:50:04 +01:00`. */
export function momentText(moment: Date | number, zone: 'local' | 'utc'): string {
  const date = new Date(moment);
  const offset = zone === 'utc' ? 0 : -date.getTimezoneOffset();
  const shifted = new Date(date.getTime() + offset * 60_000).toISOString();
  return `${shifted.slice(0, 10)} ${shifted.slice(11, 19)} ${zone === 'utc' ? 'UTC' : offsetText(offset)}`;
}

/** A moment on an axis of so many seconds: what tells its ticks apart, and no more. */
export function axisText(moment: number, zone: 'local' | 'utc', spanSeconds: number): string {
  const text = momentText(moment, zone);
  if (spanSeconds <= 36 * 3600) return text.slice(11, 16);
  return spanSeconds <= 5 * 86_400 ? text.slice(5, 16) : text.slice(5, 10);
}

function offsetText(minutes: number): string {
  const size = Math.abs(minutes);
  const two = (value: number) => String(value).padStart(2, '0');
  return `${minutes < 0 ? '−' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}
