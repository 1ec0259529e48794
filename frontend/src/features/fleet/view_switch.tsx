/** Cards, table or map. */
import clsx from 'clsx';
import { LayoutGrid, Map as MapSign, Rows3 } from 'lucide-react';
import { ToggleGroup } from 'radix-ui';
import { en } from '@/text/en';

const VIEWS = [
  { view: 'cards', Sign: LayoutGrid },
  { view: 'table', Sign: Rows3 },
  { view: 'map', Sign: MapSign },
] as const;

type View = (typeof VIEWS)[number]['view'];

export function ViewSwitch({ view, onChange }: { view: View; onChange: (view: View) => void }) {
  return (
    <ToggleGroup.Root
      type="single"
      value={view}
      aria-label={en.fleet.view}
      onValueChange={(value) => value !== '' && onChange(value as View)}
      className="flex h-8 overflow-hidden rounded-md border border-line-strong bg-surface"
    >
      {VIEWS.map(({ view: one, Sign }) => (
        <ToggleGroup.Item
          key={one}
          value={one}
          className={clsx(
            'flex items-center gap-1.5 px-2.5 text-sm font-medium',
            one === view ? 'bg-raised text-text' : 'text-soft hover:text-text',
          )}
        >
          <Sign size={14} aria-hidden="true" />
          {en.fleet[one]}
        </ToggleGroup.Item>
      ))}
    </ToggleGroup.Root>
  );
}
