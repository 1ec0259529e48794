/** Notifications that have not arrived: what waits, and what was given up. */
import { useQuery } from '@tanstack/react-query';
import { keys } from '@/api/keys';
import { readNotifications } from '@/api/reads';
import type { Notifications as Found } from '@/api/types';
import { enSettings } from '@/text/en_actions';
import { DataTable } from '@/ui/data_table';
import { Moment } from '@/ui/moment';
import { Pending } from '@/ui/trouble';

const words = enSettings.notifications;

export function Notifications() {
  const found = useQuery({
    queryKey: keys.notifications,
    queryFn: readNotifications,
    refetchInterval: 15_000,
  });
  return (
    <section className="panel flex flex-col gap-3 p-4">
      <h2 className="text-base font-semibold">{words.title}</h2>
      {found.data === undefined ? <Pending query={found} rows={2} /> : <Late found={found.data} />}
    </section>
  );
}

function Late({ found }: { found: Found }) {
  return (
    <>
      <p className="text-soft">{words.counts(found.waiting, found.dead)}</p>
      <DataTable
        label={words.title}
        empty={words.none}
        columns={[words.at, words.destination, words.about, words.attempts, words.fate]}
        rows={found.undelivered.map((one) => ({
          key: String(one.id),
          cells: [
            <Moment key="at" at={one.createdAt} />,
            one.destination,
            one.group,
            one.attempts,
            <span key="fate">
              {one.deadAt === null ? words.waits : words.givenUp}
              {one.error !== null && <span className="text-soft">: {one.error}</span>}
              {one.deadAt !== null && (
                <code className="block font-mono text-sm">defib notify retry {one.id}</code>
              )}
            </span>,
          ],
        }))}
      />
    </>
  );
}
