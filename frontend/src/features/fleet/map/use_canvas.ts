/** Keeps the map's canvas drawn: when the fleet, the scroll, the size or the theme changes. */
import { type RefObject, useEffect, useRef, useState } from 'react';
import { usePreferences } from '@/ui/preferences';
import { useVouched } from '@/ui/trust';
import { makePainter, type Scene } from './draw';

type Wanted = Omit<Scene, 'top' | 'height'>;

/** The header and the bands above; the canvas sticks below them. */
const ABOVE_PX = 96;

export function useCanvas(frame: RefObject<HTMLElement | null>, wanted: Wanted) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const painter = useRef<((scene: Scene) => void) | null>(null);
  const { theme } = usePreferences();
  const vouched = useVouched();

  // biome-ignore lint/correctness/useExhaustiveDependencies: another theme is another set of sprites
  useEffect(() => {
    painter.current = canvas.current && makePainter(canvas.current);
  }, [theme, vouched]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: drawn anew in another theme
  useEffect(() => {
    const draw = () => {
      if (!canvas.current || !frame.current) return;
      const height = Math.min(wanted.layout.height, window.innerHeight - ABOVE_PX);
      canvas.current.style.width = `${wanted.width}px`;
      canvas.current.style.height = `${height}px`;
      const top =
        canvas.current.getBoundingClientRect().top - frame.current.getBoundingClientRect().top;
      painter.current?.({ ...wanted, top, height });
    };
    let asked = 0;
    const soon = () => {
      asked ||= requestAnimationFrame(() => {
        asked = 0;
        draw();
      });
    };
    draw();
    document.fonts?.ready.then(soon);
    window.addEventListener('scroll', soon, { passive: true });
    window.addEventListener('resize', soon);
    return () => {
      cancelAnimationFrame(asked);
      window.removeEventListener('scroll', soon);
      window.removeEventListener('resize', soon);
    };
  }, [wanted.fleet, wanted.layout, wanted.matches, wanted.width, theme, vouched]);

  return canvas;
}

export function useWidth(frame: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(800);
  useEffect(() => {
    if (frame.current === null) return;
    const watch = new ResizeObserver(([entry]) => {
      if (entry) setWidth(Math.floor(entry.contentRect.width));
    });
    watch.observe(frame.current);
    return () => watch.disconnect();
  }, [frame]);
  return width;
}
