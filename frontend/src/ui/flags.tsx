/** What stands beside a state: a reset under way, a pause. */
import { Copy, Pause, RotateCw } from 'lucide-react';
import { en } from '@/text/en';

export function ResetPendingFlag() {
  return (
    <span className="inline-flex items-center gap-1 rounded-sm border border-pending px-1 text-xs font-medium whitespace-nowrap text-pending">
      <RotateCw size={11} className="animate-spin [animation-duration:2.5s]" aria-hidden="true" />
      {en.flag.resetPending}
    </span>
  );
}

export function CloneFlag() {
  return (
    <span
      className="inline-flex items-center gap-1 rounded-sm border border-warning px-1 text-xs font-medium whitespace-nowrap text-warning"
      title={en.flag.cloneMeans}
    >
      <Copy size={11} aria-hidden="true" />
      {en.flag.clone}
    </span>
  );
}

export function PausedFlag() {
  return (
    <span className="inline-flex items-center gap-1 rounded-sm border border-line-strong px-1 text-xs font-medium whitespace-nowrap text-soft">
      <Pause size={11} aria-hidden="true" />
      {en.flag.paused}
    </span>
  );
}
