/** The last hour of a figure as a line: whether it has just begun, or has long been so. */
import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { keys } from '@/api/keys';
import { readSparklines } from '@/api/reads';
import type { Sparkline as Line, Vm } from '@/api/types';
import { en } from '@/text/en';

const WIDTH = 60;
const HEIGHT = 16;
/** Steps are five minutes long: a line is new for some of that. */
const OFTEN_MS = 60_000;
const LEFT_MS = 10_000;

/** The lines of the VMs in sight, by their ids; empty while there are none. */
export function useSparklines(vms: readonly Vm[]): ReadonlyMap<string, Line> {
  const ids = useMemo(() => vms.map((vm) => vm.id).sort(), [vms]);
  const { data } = useQuery({
    queryKey: keys.sparklines(ids),
    queryFn: ({ signal }) => readSparklines(ids, { signal }),
    enabled: ids.length > 0,
    staleTime: OFTEN_MS,
    refetchInterval: OFTEN_MS,
    placeholderData: (before) => before,
    // By CPU, other VMs are in sight with each answer.
    gcTime: LEFT_MS,
  });
  return useMemo(() => new Map(data?.lines.map((line) => [line.id, line])), [data]);
}

export function Sparkline({
  values,
  label,
}: {
  values: readonly (number | null)[];
  label: string;
}) {
  // A single point is no line, and looks like dirt.
  if (values.filter((value) => value !== null).length < 2) return <NoLine />;
  return (
    <svg
      role="img"
      aria-label={`${label}, ${en.fleet.lastHour}`}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      width={WIDTH}
      height={HEIGHT}
      className="shrink-0 text-soft"
    >
      <path
        d={pathOf(values)}
        fill="none"
        stroke="currentColor"
        strokeWidth="1.25"
        strokeLinejoin="round"
        strokeLinecap="round"
      />
    </svg>
  );
}

/** Where a line may come: the figures beside it do not move when it does. */
export function NoLine() {
  return <span className="w-[60px] shrink-0" aria-hidden="true" />;
}

/** A line from 0 to 100 percent, broken where nothing is known; a lone value is a dot. */
export function pathOf(values: readonly (number | null)[]): string {
  const step = WIDTH / Math.max(1, values.length - 1);
  let pen = 'M';
  return values
    .map((value, place) => {
      if (value === null) {
        pen = 'M';
        return '';
      }
      const y = 1 + (1 - Math.min(100, Math.max(0, value)) / 100) * (HEIGHT - 2);
      const at = `${(place * step).toFixed(1)} ${y.toFixed(1)}`;
      const alone = pen === 'M' && (values[place + 1] ?? null) === null;
      const drawn = alone ? `M${at}h0.1` : `${pen}${at}`;
      pen = 'L';
      return drawn;
    })
    .join('');
}
