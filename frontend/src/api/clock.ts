/**
 * The server's time, as well as the browser can know it.
 *
 * Ages are told with this clock and never with the browser's own, which may be an hour off. It
 * is set from the `Date` header of each answer, and runs on the monotonic clock in between.
 */

let serverMs = 0;
let heardAt = 0;

/** Take note of a `Date` header. */
export function noteServerDate(header: string | null): void {
  const told = header === null ? Number.NaN : Date.parse(header);
  if (Number.isNaN(told)) return;
  // The header is in whole seconds: within that, the running clock is the better one.
  if (heardAt !== 0 && Math.abs(serverNow() - told) < 1500) return;
  serverMs = told;
  heardAt = performance.now();
}

/** Now, in milliseconds since 1970; the browser's own guess until the server has spoken. */
export function serverNow(): number {
  return heardAt === 0 ? Date.now() : serverMs + (performance.now() - heardAt);
}

/** How far the browser's clock is ahead of the server's, in milliseconds. */
export function browserAheadMs(): number {
  return Date.now() - serverNow();
}

/** For tests: forget what the server said. */
export function forgetServerDate(): void {
  heardAt = 0;
}
