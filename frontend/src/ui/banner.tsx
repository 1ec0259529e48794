/** A band across the page for what everybody must know now. */
import clsx from 'clsx';
import { CircleSlash, Info, TriangleAlert } from 'lucide-react';
import type { ReactNode } from 'react';

type Weight = 'info' | 'warning' | 'danger';

const LOOKS: Record<Weight, { colour: string; Sign: typeof Info }> = {
  info: { colour: 'border-pending text-pending', Sign: Info },
  warning: { colour: 'border-warning text-warning', Sign: TriangleAlert },
  danger: { colour: 'border-down text-down', Sign: CircleSlash },
};

export function Banner({
  weight,
  children,
  action,
}: {
  weight: Weight;
  children: ReactNode;
  action?: ReactNode;
}) {
  const { colour, Sign } = LOOKS[weight];
  return (
    <div className={clsx('flex items-start gap-2.5 border-l-4 bg-surface px-4 py-2', colour)}>
      <Sign size={17} className="mt-0.5 shrink-0" aria-hidden="true" />
      <p className="min-w-0 flex-1 font-medium text-text">{children}</p>
      {action}
    </div>
  );
}
