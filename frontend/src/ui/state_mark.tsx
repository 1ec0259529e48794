/** A state as a shape, a word and a colour: each alone is enough to tell it. */
import type { State } from '@/api/types';
import { en } from '@/text/en';
import { useVouched } from './trust';

/** Outlines in a box of 16 by 16, shared with the map's canvas. */
export const SHAPES: Record<State, string> = {
  healthy: 'M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 1 1 0-13z',
  warning: 'M8 1.2L15.4 14.4H0.6z',
  down: 'M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1z',
  unknown: 'M8 0.8L15.2 8L8 15.2L0.8 8z',
  reset_failed: 'M1.5 1.5h13v13h-13z',
};

const SIGNS: Record<State, string> = {
  healthy: 'M5 8.3l2.1 2.1L11.2 6',
  warning: 'M8 5.6v4.2M8 11.9v.2',
  down: 'M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8',
  unknown: 'M6.5 6.4c.1-2.1 3-2 3 0c0 1.1-1.5 1.2-1.5 2.4M8 10.9v.2',
  reset_failed: 'M4.6 4.6l6.8 6.8M11.4 4.6l-6.8 6.8',
};

export const STATE_COLOUR: Record<State, string> = {
  healthy: 'text-healthy',
  warning: 'text-warning',
  down: 'text-down',
  unknown: 'text-unknown',
  reset_failed: 'text-reset-failed',
};

export function StateMark({ state, size = 16 }: { state: State; size?: number }) {
  const hollow = !useVouched() && state === 'healthy';
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      aria-hidden="true"
      className={`shrink-0 ${STATE_COLOUR[state]}`}
    >
      {hollow ? (
        <path d={SHAPES[state]} fill="none" stroke="currentColor" strokeWidth="1.6" />
      ) : (
        <>
          <path d={SHAPES[state]} fill="currentColor" />
          <path
            d={SIGNS[state]}
            fill="none"
            stroke="var(--c-surface)"
            strokeWidth="1.8"
            strokeLinecap="round"
            strokeLinejoin="round"
          />
        </>
      )}
    </svg>
  );
}

/** `narrow`: on a phone the shape alone; its word is still read out. */
export function StateBadge({ state, narrow = false }: { state: State; narrow?: boolean }) {
  const lastKnown = !useVouched() && state === 'healthy';
  return (
    <span
      className={`inline-flex items-center gap-1.5 align-middle font-medium whitespace-nowrap ${STATE_COLOUR[state]}`}
      title={lastKnown ? en.lastKnown : en.stateMeans[state]}
    >
      <StateMark state={state} />
      <span className={narrow ? 'max-sm:sr-only' : undefined}>{en.state[state]}</span>
    </span>
  );
}
