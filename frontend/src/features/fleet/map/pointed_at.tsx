/** Which VM the mouse or the keyboard is at: a frame around its shape, and who it is. */
import type { Fleet } from '@/api/types';
import { en } from '@/text/en';
import { StateBadge } from '@/ui/state_mark';
import { flagsAt, HELD, nodeAt, PAUSED, RESET_PENDING, stateAt } from './fleet_words';
import { CELL_PX, cellAt, type Layout } from './layout';

const WIDTH_PX = 240;

type Props = { fleet: Fleet; layout: Layout; index: number; width: number };

export function PointedAt({ fleet, layout, index, width }: Props) {
  const place = layout.places[index];
  const block = place && layout.blocks[place.block];
  if (!place || !block) return null;
  const { x, y } = cellAt(block, place.place);
  const state = stateAt(fleet, index);
  return (
    <>
      <div
        className="pointer-events-none absolute rounded-xs border-2 border-text"
        style={{ left: x - 2, top: y - 2, width: CELL_PX + 4, height: CELL_PX + 4 }}
      />
      <div
        id="map-vm"
        role="option"
        aria-selected="true"
        tabIndex={-1}
        className="panel pointer-events-none absolute z-10 flex flex-col gap-0.5 bg-raised px-3 py-2 shadow-lg"
        style={{
          left: Math.max(0, Math.min(x, width - WIDTH_PX)),
          top: y + CELL_PX + 6,
          width: WIDTH_PX,
        }}
      >
        <span className="truncate font-semibold">{fleet.hostnames[index]}</span>
        <StateBadge state={state} />
        <span className="text-sm text-soft">
          {[nodeAt(fleet, index) ?? en.fleet.noNode, ...flagWords(flagsAt(fleet, index))].join(
            ' · ',
          )}
        </span>
      </div>
    </>
  );
}

function flagWords(flags: number): string[] {
  const words: string[] = [];
  if ((flags & RESET_PENDING) !== 0) words.push(en.flag.resetPending);
  if ((flags & PAUSED) !== 0) words.push(en.flag.paused);
  if ((flags & HELD) !== 0) words.push(en.flag.heldShort);
  return words;
}
