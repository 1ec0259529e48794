/**
 * Notices that nobody looks at the page, or that its machine was suspended: what it shows is then
 * old before anybody has asked. Decides nothing; says when it falls asleep and when it wakes.
 */

/** Who only glances at another tab finds the page as it was. */
export const ASLEEP_AFTER_MS = 5000;
/** The monotonic clock may stand still while a machine sleeps; the wall clock does not. */
const SUSPENDED_MS = 30_000;
const LOOK_MS = 2000;

type Sleeper = { sleep: () => void; wake: () => void };

/** Watch until the returned function is called. */
export function watchSleep({ sleep, wake }: Sleeper): () => void {
  let asleep = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const fall = () => {
    asleep = true;
    sleep();
  };
  const seen = () => {
    clearTimeout(timer);
    if (document.visibilityState === 'hidden') timer = setTimeout(fall, ASLEEP_AFTER_MS);
    else if (asleep) {
      asleep = false;
      wake();
    }
  };
  const stopLooking = onSuspended(() => {
    if (!asleep) fall();
    seen();
  });
  document.addEventListener('visibilitychange', seen);
  seen();
  return () => {
    clearTimeout(timer);
    stopLooking();
    document.removeEventListener('visibilitychange', seen);
  };
}

function onSuspended(found: () => void): () => void {
  const gap = () => Date.now() - performance.now();
  let before = gap();
  const looking = setInterval(() => {
    const jumped = gap() - before;
    before += jumped;
    if (jumped > SUSPENDED_MS) found();
  }, LOOK_MS);
  return () => clearInterval(looking);
}
