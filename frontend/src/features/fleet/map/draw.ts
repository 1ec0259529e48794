/** Puts the map on a canvas: only what is in sight, from sprites made once for each look. */
import type { Fleet, State } from '@/api/types';
import { en } from '@/text/en';
import { SHAPES } from '@/ui/state_mark';
import { countUnhealthy, flagsAt, PAUSED, RESET_PENDING, stateAt } from './fleet_words';
import { type Block, CELL_PX, cellAt, type Layout } from './layout';

const SHAPE_PX = 11;
const VARIABLES: Record<State, string> = {
  healthy: '--c-healthy-fill',
  warning: '--c-warning',
  down: '--c-down',
  unknown: '--c-unknown',
  reset_failed: '--c-reset-failed',
};

type Sprites = (state: State, flags: number, dim: boolean) => OffscreenCanvas;

export type Scene = {
  fleet: Fleet;
  layout: Layout;
  matches: (index: number) => boolean;
  /** What part of the map's height is in sight. */
  top: number;
  width: number;
  height: number;
};

/** A painter for the theme and the screen as they are now; make a new one when they change. */
export function makePainter(canvas: HTMLCanvasElement): (scene: Scene) => void {
  const context = canvas.getContext('2d');
  if (context === null) return () => undefined;
  const ratio = Math.max(1, window.devicePixelRatio);
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const sprites = makeSprites(ratio, colour);
  return (scene) => {
    const width = Math.round(scene.width * ratio);
    const height = Math.round(scene.height * ratio);
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, scene.width, scene.height);
    context.translate(0, -scene.top);
    for (const block of scene.layout.blocks) {
      if (bottomOf(block) < scene.top || block.y > scene.top + scene.height) continue;
      drawHead(context, scene, block, colour);
      drawCells(context, scene, block, sprites);
    }
  };
}

function bottomOf(block: Block): number {
  return cellAt(block, block.members.length - 1).y + CELL_PX;
}

function drawHead(
  context: CanvasRenderingContext2D,
  { fleet }: Scene,
  block: Block,
  colour: (name: string) => string,
): void {
  const unhealthy = countUnhealthy(fleet, block.members);
  const name = fleet.nodes[block.node]?.node ?? en.fleet.noNode;
  const width = block.columns * CELL_PX;
  context.textBaseline = 'middle';
  context.font = '600 12px Inter, sans-serif';
  context.fillStyle = colour('--c-text');
  context.fillText(name, block.x, block.y + 9, width);
  const left = context.measureText(name).width + 8;
  const rest = en.fleet.unhealthyOf(unhealthy, block.members.length);
  context.font = '400 12px Inter, sans-serif';
  if (left + context.measureText(rest).width > width) return;
  context.fillStyle = colour('--c-soft');
  context.fillText(rest, block.x + left, block.y + 9);
}

function drawCells(
  context: CanvasRenderingContext2D,
  { fleet, matches, top, height }: Scene,
  block: Block,
  sprites: Sprites,
): void {
  block.members.forEach((index, place) => {
    const { x, y } = cellAt(block, place);
    if (y + CELL_PX < top || y > top + height) return;
    const sprite = sprites(stateAt(fleet, index), flagsAt(fleet, index), !matches(index));
    context.drawImage(sprite, x, y, CELL_PX, CELL_PX);
  });
}

function makeSprites(ratio: number, colour: (name: string) => string): Sprites {
  const made = new Map<string, OffscreenCanvas>();
  return (state, flags, dim) => {
    const key = `${state} ${flags & (PAUSED | RESET_PENDING)} ${dim}`;
    const known = made.get(key);
    if (known !== undefined) return known;
    const sprite = drawSprite(state, flags, dim, ratio, colour);
    made.set(key, sprite);
    return sprite;
  };
}

function drawSprite(
  state: State,
  flags: number,
  dim: boolean,
  ratio: number,
  colour: (name: string) => string,
): OffscreenCanvas {
  const size = Math.ceil(CELL_PX * ratio);
  const canvas = new OffscreenCanvas(size, size);
  const context = canvas.getContext('2d');
  if (context === null) return canvas;
  context.scale(size / CELL_PX, size / CELL_PX);
  context.globalAlpha = dim ? 0.14 : 1;
  // The healthy ones are the calm ground on which the others stand out.
  const px = state === 'healthy' ? SHAPE_PX - 3 : SHAPE_PX;
  context.save();
  context.translate((CELL_PX - px) / 2, (CELL_PX - px) / 2);
  context.scale(px / 16, px / 16);
  context.fillStyle = colour(VARIABLES[state]);
  context.fill(new Path2D(SHAPES[state]));
  context.restore();
  if ((flags & RESET_PENDING) !== 0) ring(context, colour('--c-pending'));
  if ((flags & PAUSED) !== 0) bars(context, colour('--c-page'));
  return canvas;
}

function ring(context: OffscreenCanvasRenderingContext2D, colour: string): void {
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  context.strokeRect(0.75, 0.75, CELL_PX - 1.5, CELL_PX - 1.5);
}

function bars(context: OffscreenCanvasRenderingContext2D, colour: string): void {
  context.fillStyle = colour;
  context.fillRect(5, 4.5, 1.5, 5);
  context.fillRect(7.75, 4.5, 1.5, 5);
}
