/** Runs through a list with a few at a time. Stopped, it begins nothing more. */

export type Run = { stop: () => void; ended: Promise<void> };

export function fewAtATime<One>(
  all: readonly One[],
  most: number,
  work: (one: One) => Promise<void>,
  skipped: (one: One) => void,
): Run {
  const waiting = [...all];
  let stopped = false;
  const worker = async () => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
      if (stopped) skipped(one);
      else await work(one);
    }
  };
  return {
    stop: () => {
      stopped = true;
    },
    ended: Promise.all(Array.from({ length: most }, worker)).then(() => undefined),
  };
}
