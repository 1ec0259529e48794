/** A share of 100 as a number with a bar; strong once it is above its threshold. */
import clsx from 'clsx';
import { Sparkline } from './sparkline';

type Props = {
  /** Percent; null where nobody knows. */
  value: number | null;
  threshold?: number | undefined;
  /** The last known value of a VM that is silent: shown, but not as if it were true now. */
  old?: boolean;
  label: string;
  /** Percent of the last hour, where there is room for a line. */
  line?: readonly (number | null)[] | undefined;
};

export function Meter({ value, threshold, old = false, label, line }: Props) {
  if (value === null) return <span className="text-soft">–</span>;
  const high = !old && threshold !== undefined && value > threshold;
  return (
    <span className={clsx('flex items-center gap-2', old && 'text-soft italic')} title={label}>
      {line && <Sparkline values={line} label={label} />}
      <svg
        viewBox="0 0 100 6"
        preserveAspectRatio="none"
        className={clsx('h-1.5 min-w-8 flex-1', old && 'opacity-50')}
        aria-hidden="true"
      >
        <rect width="100" height="6" rx="3" className="fill-line" />
        <rect
          width={Math.max(2, Math.min(100, value))}
          height="6"
          rx="3"
          className={high ? 'fill-warning' : 'fill-line-strong'}
        />
      </svg>
      <span className={clsx('w-9 shrink-0 text-right', high && 'font-semibold text-warning')}>
        {Math.round(value)}%
      </span>
    </span>
  );
}
