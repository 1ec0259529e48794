/** CPU, RAM and disk over time, with the thresholds and what happened to the VM. */
import { useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useMemo } from 'react';
import { serverNow } from '@/api/clock';
import { keys } from '@/api/keys';
import { readMetrics, readResets, readStatus, readTimeline } from '@/api/reads';
import type { Metric } from '@/api/types';
import { enVm } from '@/text/en_vm';
import type { Mark } from '@/ui/chart';
import { usePreferences } from '@/ui/preferences';
import { Loading, Pending } from '@/ui/trouble';
import { type Kind, marksOf, seriesOf, summaryOf } from './series';

const Chart = lazy(async () => ({ default: (await import('@/ui/chart')).Chart }));

const KINDS: readonly Kind[] = ['cpu', 'ram', 'disk'];
/** Reports come every 30 s; a long range changes slowly. */
const OFTEN_MS = 15_000;
const SELDOM_MS = 120_000;

export function Charts({ id, hours }: { id: string; hours: number }) {
  const refetchInterval = hours <= 6 ? OFTEN_MS : SELDOM_MS;
  const metrics = useQuery({
    queryKey: keys.vmMetrics(id, hours),
    queryFn: async ({ signal }) => ({
      readings: await readMetrics(id, hours, { signal }),
      now: serverNow() / 1000,
    }),
    refetchInterval,
  });
  const marks = useMarks(id, hours);
  const status = useQuery({ queryKey: keys.status, queryFn: readStatus });
  if (metrics.data === undefined) return <Pending query={metrics} rows={4} />;
  const { readings, now } = metrics.data;
  if (readings.length === 0) return <p className="text-soft">{enVm.charts.none}</p>;
  const thresholds: Record<Kind, number | null> = {
    cpu: status.data?.config.cpuThreshold ?? null,
    ram: status.data?.config.ramThreshold ?? null,
    disk: null,
  };
  return (
    <div className="flex flex-col gap-4">
      {KINDS.map((kind) => (
        <One key={kind} {...{ kind, readings, hours, now, marks }} threshold={thresholds[kind]} />
      ))}
    </div>
  );
}

function useMarks(id: string, hours: number): readonly Mark[] {
  const timeline = useQuery({
    queryKey: keys.vmTimeline(id, hours),
    queryFn: ({ signal }) => readTimeline(id, hours, { signal }),
  });
  const resets = useQuery({
    queryKey: keys.vmResets(id),
    queryFn: ({ signal }) => readResets(id, { signal }),
  });
  return useMemo(
    () => marksOf(resets.data ?? [], timeline.data ?? []),
    [resets.data, timeline.data],
  );
}

type OneProps = {
  kind: Kind;
  readings: readonly Metric[];
  hours: number;
  now: number;
  threshold: number | null;
  marks: readonly Mark[];
};

function One({ kind, readings, hours, now, threshold, marks }: OneProps) {
  const { zone } = usePreferences();
  const series = useMemo(() => seriesOf(readings, kind), [readings, kind]);
  const summary = useMemo(() => summaryOf(series.values), [series]);
  if (summary === null) return null;
  const range = enVm.charts.ranges[String(hours)] ?? '';
  const { least, most, last } = summary;
  return (
    <figure className="m-0">
      <figcaption className="mb-1 flex flex-wrap items-baseline gap-x-3 text-sm">
        <span className="font-semibold">{enVm.charts[kind]}</span>
        <span className="text-soft">
          {least}–{most}%{threshold !== null && ` · ${enVm.charts.threshold} ${threshold}%`}
        </span>
        <span className="sr-only">
          {enVm.charts.described(enVm.charts[kind], range, least, most, last)}
        </span>
      </figcaption>
      <Suspense fallback={<Loading rows={3} />}>
        <Chart
          {...series}
          {...{ threshold, marks, zone }}
          from={now - hours * 3600}
          to={now}
          label={enVm[kind]}
        />
      </Suspense>
    </figure>
  );
}
