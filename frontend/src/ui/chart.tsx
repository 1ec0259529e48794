/**
 * A chart of values over time: the one place that knows uPlot. Loaded only with a VM's history.
 *
 * Draws in the theme's colours, marks moments with a line and a letter, and shows where readings are
 * missing as a gap. What it shows is said in words too, by whoever uses it.
 */
import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { axisText, momentText } from './time';

export type Mark = { at: number; kind: 'reset' | 'down' | 'back'; label: string };

export type ChartProps = {
  /** Seconds since 1970, ascending. */
  times: readonly number[];
  /** Percent; null where nothing is known. */
  values: readonly (number | null)[];
  /** The span of the time axis, in seconds since 1970. */
  from: number;
  to: number;
  label: string;
  threshold: number | null;
  marks: readonly Mark[];
  zone: 'local' | 'utc';
  height?: number;
};

const MARK_COLOUR: Record<Mark['kind'], string> = {
  reset: '--c-pending',
  down: '--c-down',
  back: '--c-healthy',
};

export function Chart(props: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const { times, values, from, to, label, threshold, marks, zone, height = 150 } = props;
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const width = () => Math.max(200, element.clientWidth);
    const draw = () =>
      new uPlot(
        options({ label, threshold, marks, zone, from, to, width: width(), height }),
        [times as number[], values as (number | null)[]],
        element,
      );
    let plot = draw();
    const resized = new ResizeObserver(() => plot.setSize({ width: width(), height }));
    resized.observe(element);
    const again = () => {
      plot.destroy();
      plot = draw();
    };
    const themed = new MutationObserver(again);
    themed.observe(document.documentElement, { attributeFilter: ['data-theme'] });
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', again);
    return () => {
      resized.disconnect();
      themed.disconnect();
      dark.removeEventListener('change', again);
      plot.destroy();
    };
  }, [times, values, from, to, label, threshold, marks, zone, height]);
  return <div ref={place} className="w-full overflow-hidden" data-chart={label} />;
}

type Wanted = Pick<ChartProps, 'label' | 'threshold' | 'marks' | 'zone' | 'from' | 'to'> & {
  width: number;
  height: number;
};

function options(wanted: Wanted): uPlot.Options {
  const { label, threshold, marks, zone, from, to, width, height } = wanted;
  const axis: uPlot.Axis = {
    stroke: colour('--c-soft'),
    grid: { stroke: colour('--c-line'), width: 1 },
    ticks: { stroke: colour('--c-line'), width: 1 },
    font: '11px Inter, sans-serif',
  };
  return {
    width,
    height,
    ...(zone === 'utc' && {
      tzDate: (second: number) => uPlot.tzDate(new Date(second * 1e3), 'UTC'),
    }),
    cursor: { y: false, points: { size: 7 } },
    legend: { live: true, isolate: false },
    scales: { x: { time: true, range: [from, to] }, y: { range: [0, 100] } },
    axes: [
      {
        ...axis,
        space: 90,
        values: (_, ticks) => ticks.map((one) => axisText(one * 1e3, zone, to - from)),
      },
      { ...axis, size: 52, values: (_, ticks) => ticks.map((one) => `${one}%`) },
    ],
    padding: [8, 12, 0, 0],
    series: [
      { value: (_, second) => (second === null ? '–' : momentText(second * 1e3, zone)) },
      {
        label,
        stroke: colour('--c-accent'),
        width: 1.5,
        points: { show: false },
        value: (_, value) => (value === null ? '–' : `${value.toFixed(1)}%`),
      },
    ],
    hooks: { draw: [(plot) => decorate(plot, threshold, marks)] },
  };
}

function decorate(plot: uPlot, threshold: number | null, marks: readonly Mark[]): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  ctx.font = `${11 * devicePixelRatio}px Inter, sans-serif`;
  if (threshold !== null) {
    const y = plot.valToPos(threshold, 'y', true);
    line(ctx, colour('--c-warning'), [bbox.left, y], [bbox.left + bbox.width, y], [4, 4]);
  }
  for (const [place, mark] of marks.entries()) {
    const x = plot.valToPos(mark.at, 'x', true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    const paint = colour(MARK_COLOUR[mark.kind]);
    line(
      ctx,
      paint,
      [x, bbox.top],
      [x, bbox.top + bbox.height],
      mark.kind === 'reset' ? [] : [2, 3],
    );
    ctx.fillStyle = paint;
    // One below the other: what happens within minutes stands at the same place.
    const row = 10 + (place % 3) * 12;
    const left = x < bbox.left + bbox.width - 50 * devicePixelRatio;
    ctx.textAlign = left ? 'left' : 'right';
    ctx.fillText(
      mark.label,
      x + (left ? 3 : -3) * devicePixelRatio,
      bbox.top + row * devicePixelRatio,
    );
  }
  ctx.restore();
}

type Point = readonly [number, number];

function line(
  ctx: CanvasRenderingContext2D,
  paint: string,
  [fromX, fromY]: Point,
  [toX, toY]: Point,
  dashes: number[],
): void {
  ctx.strokeStyle = paint;
  ctx.setLineDash(dashes.map((one) => one * devicePixelRatio));
  ctx.beginPath();
  ctx.moveTo(fromX, fromY);
  ctx.lineTo(toX, toY);
  ctx.stroke();
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
