/** A point in time on the page: how long ago, or when exactly; the other one in its title. */
import { serverNow } from '@/api/clock';
import { en } from '@/text/en';
import { usePreferences } from './preferences';
import { useTick } from './tick';
import { durationText, momentText } from './time';

/** `12 s ago`, told with the server's clock. */
export function Ago({ at, bare = false }: { at: string; bare?: boolean }) {
  const { zone } = usePreferences();
  useTick();
  const text = durationText((serverNow() - Date.parse(at)) / 1000);
  return (
    <time dateTime={at} title={momentText(Date.parse(at), zone)}>
      {bare ? text : en.time.ago(text)}
    </time>
  );
}

/** The moment itself, with its zone. */
export function Moment({ at }: { at: string }) {
  const { zone } = usePreferences();
  return <time dateTime={at}>{momentText(Date.parse(at), zone)}</time>;
}
