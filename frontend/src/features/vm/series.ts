/** Readings made ready for a chart: percentages, gaps where it was silent, and moments to mark. Pure. */
import type { Metric, Reset, Transition } from '@/api/types';
import { enVm } from '@/text/en_vm';
import type { Mark } from '@/ui/chart';

export type Kind = 'cpu' | 'ram' | 'disk';
export type Series = { times: number[]; values: (number | null)[] };

/** This many usual steps without a reading are a silence, not a late report. */
const GAP_STEPS = 3;

export function seriesOf(metrics: readonly Metric[], kind: Kind): Series {
  const times: number[] = [];
  const values: (number | null)[] = [];
  const step = usualStep(metrics);
  for (const metric of metrics) {
    const at = Date.parse(metric.timestamp) / 1000;
    const before = times.at(-1);
    if (before !== undefined && at - before > GAP_STEPS * step) {
      times.push(before + step);
      values.push(null);
    }
    times.push(at);
    values.push(percentOf(metric, kind));
  }
  return { times, values };
}

function percentOf(metric: Metric, kind: Kind): number | null {
  if (kind === 'cpu') return metric.cpuUsage;
  const [used, total] =
    kind === 'ram' ? [metric.ramUsage, metric.ramTotal] : [metric.diskUsage, metric.diskTotal];
  return used === null || total === null || total === 0 ? null : (used / total) * 100;
}

/** The median distance of readings in seconds: 30, 300 or 3600 as a rule. */
function usualStep(metrics: readonly Metric[]): number {
  const steps = metrics
    .slice(1)
    .map((one, index) => secondsBetween(metrics[index], one))
    .sort((a, b) => a - b);
  return steps[Math.floor(steps.length / 2)] ?? 30;
}

function secondsBetween(earlier: Metric | undefined, later: Metric): number {
  return earlier === undefined
    ? 0
    : (Date.parse(later.timestamp) - Date.parse(earlier.timestamp)) / 1000;
}

/** Resets that were sent, and each time it fell silent or came back. */
export function marksOf(resets: readonly Reset[], timeline: readonly Transition[]): Mark[] {
  const { marks } = enVm.charts;
  const sent = resets.flatMap((reset) =>
    reset.sentAt === null ? [] : [mark(reset.sentAt, 'reset', marks.reset)],
  );
  const fell = timeline.flatMap((change) => {
    if (change.to === 'down') return [mark(change.at, 'down', marks.down)];
    const came = change.from === 'down' || change.from === 'reset_failed';
    return came && change.to !== 'reset_failed' ? [mark(change.at, 'back', marks.back)] : [];
  });
  return [...sent, ...fell].sort((a, b) => a.at - b.at);
}

function mark(at: string, kind: Mark['kind'], label: string): Mark {
  return { at: Date.parse(at) / 1000, kind, label };
}

export type Summary = { least: number; most: number; last: number };

export function summaryOf(values: readonly (number | null)[]): Summary | null {
  const known = values.filter((one) => one !== null);
  const last = known.at(-1);
  if (last === undefined) return null;
  // Not Math.min(...): a history may have more readings than a call may have arguments.
  const least = known.reduce((a, b) => Math.min(a, b));
  const most = known.reduce((a, b) => Math.max(a, b));
  return { least: Math.round(least), most: Math.round(most), last: Math.round(last) };
}
