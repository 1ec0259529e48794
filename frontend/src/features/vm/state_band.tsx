/** How its state went over time: a band of shapes and colours, and the changes as a table. */
import { useQuery } from '@tanstack/react-query';
import { serverNow } from '@/api/clock';
import { keys } from '@/api/keys';
import { readTimeline } from '@/api/reads';
import type { State, Transition, Vm } from '@/api/types';
import { en } from '@/text/en';
import { enVm } from '@/text/en_vm';
import { DataTable } from '@/ui/data_table';
import { Moment } from '@/ui/moment';
import { STATE_COLOUR, StateBadge } from '@/ui/state_mark';
import { durationText } from '@/ui/time';
import { Pending } from '@/ui/trouble';

const WIDTH = 1000;
const MOST_ROWS = 50;

export type Stretch = { state: State; from: number; to: number };

/** The states between two moments (ms), oldest first; `now` is the state at the end. */
export function stretchesOf(
  timeline: readonly Transition[],
  now: State,
  fromMs: number,
  toMs: number,
): Stretch[] {
  const changes = [...timeline].sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  const stretches: Stretch[] = [];
  let state = changes[0]?.from ?? changes[0]?.to ?? now;
  let since = fromMs;
  for (const change of changes) {
    const at = Math.min(Math.max(Date.parse(change.at), fromMs), toMs);
    if (at > since) stretches.push({ state, from: since, to: at });
    state = change.to;
    since = at;
  }
  if (toMs > since) stretches.push({ state, from: since, to: toMs });
  return stretches;
}

export function StateBand({ vm, hours }: { vm: Vm; hours: number }) {
  const timeline = useQuery({
    queryKey: keys.vmTimeline(vm.id, hours),
    queryFn: ({ signal }) => readTimeline(vm.id, hours, { signal }),
    refetchInterval: 15_000,
  });
  if (timeline.data === undefined) return <Pending query={timeline} rows={2} />;
  const to = serverNow();
  const stretches = stretchesOf(timeline.data, vm.state, to - hours * 3_600_000, to);
  return (
    <div className="flex flex-col gap-2">
      <Band stretches={stretches} label={enVm.timeline.band(enVm.charts.ranges[hours] ?? '')} />
      <DataTable
        label={enVm.timeline.title}
        empty={enVm.timeline.none}
        columns={[enVm.timeline.at, enVm.timeline.from, enVm.timeline.to, enVm.timeline.reason]}
        rows={[...timeline.data]
          .sort((a, b) => Date.parse(b.at) - Date.parse(a.at))
          .slice(0, MOST_ROWS)
          .map((change) => ({
            key: `${change.at} ${change.to}`,
            cells: [
              <Moment key="at" at={change.at} />,
              change.from === null ? '–' : <StateBadge key="from" state={change.from} />,
              <StateBadge key="to" state={change.to} />,
              change.reason,
            ],
          }))}
      />
    </div>
  );
}

function Band({ stretches, label }: { stretches: readonly Stretch[]; label: string }) {
  const first = stretches[0]?.from ?? 0;
  const whole = (stretches.at(-1)?.to ?? 1) - first || 1;
  return (
    <svg
      role="img"
      aria-label={`${label}: ${spoken(stretches)}`}
      viewBox={`0 0 ${WIDTH} 22`}
      preserveAspectRatio="none"
      className="h-6 w-full overflow-hidden rounded-md"
    >
      {stretches.map((one) => (
        <rect
          key={one.from}
          x={((one.from - first) / whole) * WIDTH}
          // A hair at least: a short outage must be seen in a long range.
          width={Math.max(2, ((one.to - one.from) / whole) * WIDTH)}
          // Unhealthy stretches stand taller: they are told apart without colour.
          y={one.state === 'healthy' ? 8 : 0}
          height={one.state === 'healthy' ? 6 : 22}
          className={STATE_COLOUR[one.state]}
          fill="currentColor"
        >
          <title>{`${en.state[one.state]}: ${durationText((one.to - one.from) / 1000)}`}</title>
        </rect>
      ))}
    </svg>
  );
}

function spoken(stretches: readonly Stretch[]): string {
  return stretches
    .slice(-8)
    .map((one) => `${en.state[one.state]} ${durationText((one.to - one.from) / 1000)}`)
    .join(', ');
}
