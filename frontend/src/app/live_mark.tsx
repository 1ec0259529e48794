/** How fresh the page is, in a word; the age of what is shown when it is not. */
import clsx from 'clsx';
import { type Freshness, isLate } from '@/live/freshness';
import { useLive } from '@/live/live';
import { en } from '@/text/en';
import { durationText } from '@/ui/time';

const COLOURS: Record<Freshness, string> = {
  connecting: 'text-soft',
  live: 'text-healthy',
  polling: 'text-soft',
  stale: 'text-warning',
  offline: 'text-down',
};

const TITLES: Partial<Record<Freshness, string>> = {
  connecting: en.live.connectingTitle,
  live: en.live.liveTitle,
  polling: en.live.pollingTitle,
};

export function LiveMark() {
  const { freshness, ageSeconds } = useLive();
  return (
    <span
      data-freshness={freshness}
      title={TITLES[freshness]}
      className={clsx(
        'flex items-center gap-1.5 text-xs font-medium whitespace-nowrap',
        COLOURS[freshness],
      )}
    >
      <svg width="8" height="8" aria-hidden="true">
        {freshness === 'live' ? (
          <circle cx="4" cy="4" r="4" fill="currentColor" />
        ) : (
          <circle cx="4" cy="4" r="3" fill="none" stroke="currentColor" strokeWidth="2" />
        )}
      </svg>
      <span className="max-sm:sr-only">{en.live[freshness]}</span>
      {isLate(freshness) && <span>{durationText(ageSeconds)}</span>}
    </span>
  );
}
