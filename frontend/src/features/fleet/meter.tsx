/** A share of 100 as a number with a bar; strong once it is above its threshold. */
import clsx from 'clsx';
import { NoLine, Sparkline } from './sparkline';

type Props = {
  /** Percent; null where nobody knows. */
  value: number | null;
  threshold?: number | undefined;
  /** The last known value of a VM that is silent: shown, but not as if it were true now. */
  old?: boolean;
  label: string;
  /** Percent of the last hour, where there is room for a line; null: the room is kept for it. */
  line?: readonly (number | null)[] | null | undefined;
};

export function Meter({ value, threshold, old = false, label, line }: Props) {
  if (value === null) return <span className="text-soft">–</span>;
  const high = !old && threshold !== undefined && value > threshold;
  return (
    <span className={clsx('flex items-center gap-2', old && 'text-soft italic')} title={label}>
      {line === null ? <NoLine /> : line && <Sparkline values={line} label={label} />}
      <span
        className={clsx(
          'h-1.5 min-w-8 flex-1 overflow-hidden rounded-full bg-line',
          old && 'opacity-50',
        )}
        aria-hidden="true"
      >
        <span
          className={clsx('block h-full rounded-full', high ? 'bg-warning' : 'bg-line-strong')}
          style={{ width: `${Math.max(2, Math.min(100, value))}%` }}
        />
      </span>
      <span className={clsx('w-9 shrink-0 text-right', high && 'font-semibold text-warning')}>
        {Math.round(value)}%
      </span>
    </span>
  );
}
