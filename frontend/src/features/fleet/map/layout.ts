/** Where each VM stands on the map. Pure: from the fleet and a width to places. */
import type { Fleet } from '@/api/types';

export const CELL_PX = 14;
const HEAD_PX = 22;
const GAP_PX = 18;
const LEAST_COLUMNS = 10;

export type Block = {
  /** Index into the fleet's `nodes`. */
  node: number;
  x: number;
  y: number;
  columns: number;
  /** Indexes into the fleet's columns, in order. */
  members: readonly number[];
};

export type Layout = {
  blocks: readonly Block[];
  height: number;
  /** Of each VM, by its index in the fleet: which block, and which place in it. */
  places: readonly { block: number; place: number }[];
};

export function layoutOf(fleet: Pick<Fleet, 'nodes' | 'node' | 'ids'>, width: number): Layout {
  const groups = groupsOf(fleet);
  const blocks: Block[] = [];
  const places: { block: number; place: number }[] = Array.from({ length: fleet.ids.length });
  let x = 0;
  let y = 0;
  let tallest = 0;
  for (const { node, members } of groups) {
    const columns = columnsFor(members.length, width);
    const size = columns * CELL_PX;
    if (x > 0 && x + size > width) {
      x = 0;
      y += tallest + GAP_PX;
      tallest = 0;
    }
    for (const [place, member] of members.entries())
      places[member] = { block: blocks.length, place };
    blocks.push({ node, x, y, columns, members });
    x += size + GAP_PX;
    tallest = Math.max(tallest, HEAD_PX + Math.ceil(members.length / columns) * CELL_PX);
  }
  return { blocks, height: y + tallest, places };
}

/** The corner of a VM's cell. */
export function cellAt(block: Block, place: number): { x: number; y: number } {
  return {
    x: block.x + (place % block.columns) * CELL_PX,
    y: block.y + HEAD_PX + Math.floor(place / block.columns) * CELL_PX,
  };
}

/** Which VM is at a point; null where there is none. */
export function vmAt(layout: Layout, x: number, y: number): number | null {
  for (const block of layout.blocks) {
    const column = Math.floor((x - block.x) / CELL_PX);
    const row = Math.floor((y - block.y - HEAD_PX) / CELL_PX);
    if (column < 0 || column >= block.columns || row < 0) continue;
    const member = block.members[row * block.columns + column];
    if (member !== undefined) return member;
  }
  return null;
}

export type Direction = 'left' | 'right' | 'up' | 'down';

/** The VM that an arrow key leads to; the same one at the map's edge. */
export function neighbour(layout: Layout, from: number, direction: Direction): number {
  const place = layout.places[from];
  const block = place && layout.blocks[place.block];
  if (!place || !block) return from;
  const step = { left: -1, right: 1, up: -block.columns, down: block.columns }[direction];
  const inside = block.members[place.place + step];
  if (inside !== undefined) return inside;
  const other = layout.blocks[place.block + (step < 0 ? -1 : 1)];
  return (step < 0 ? other?.members.at(-1) : other?.members[0]) ?? from;
}

/** A little wider than high, and never wider than the page. */
function columnsFor(count: number, width: number): number {
  const most = Math.max(1, Math.floor(width / CELL_PX));
  return Math.min(most, Math.max(LEAST_COLUMNS, Math.ceil(Math.sqrt(count * 2))));
}

function groupsOf(fleet: Pick<Fleet, 'nodes' | 'node' | 'ids'>) {
  const members: number[][] = fleet.nodes.map(() => []);
  for (const [index, node] of fleet.node.entries()) members[node]?.push(index);
  return fleet.nodes
    .map((one, node) => ({
      node,
      name: `${one.cluster} ${one.node ?? '\uffff'}`,
      members: members[node] ?? [],
    }))
    .filter((group) => group.members.length > 0)
    .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}
