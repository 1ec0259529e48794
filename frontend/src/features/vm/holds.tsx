/** What held a reset of this VM, and for how long. */
import { useQuery } from '@tanstack/react-query';
import { serverNow } from '@/api/clock';
import { keys } from '@/api/keys';
import { readHolds } from '@/api/reads';
import type { Hold } from '@/api/types';
import { enVm } from '@/text/en_vm';
import { DataTable } from '@/ui/data_table';
import { Moment } from '@/ui/moment';
import { durationText } from '@/ui/time';
import { Pending } from '@/ui/trouble';

const words = enVm.holds;
const MOST_ROWS = 50;

export function Holds({ id, hours }: { id: string; hours: number }) {
  const holds = useQuery({
    queryKey: keys.vmHolds(id, hours),
    queryFn: ({ signal }) => readHolds(id, hours, { signal }),
    refetchInterval: 15_000,
  });
  if (holds.data === undefined) return <Pending query={holds} rows={2} />;
  return (
    <DataTable
      label={words.title}
      empty={words.none}
      columns={[words.from, words.lasted, words.reason, '']}
      rows={holds.data.slice(0, MOST_ROWS).map((hold) => ({
        key: `${hold.startedAt} ${hold.reason}`,
        cells: [
          <Moment key="from" at={hold.startedAt} />,
          lastedText(hold),
          <span key="reason" className="font-medium">
            {hold.reason}
          </span>,
          hold.message,
        ],
      }))}
    />
  );
}

function lastedText(hold: Hold): string {
  const end = hold.endedAt === null ? serverNow() : Date.parse(hold.endedAt);
  const text = durationText((end - Date.parse(hold.startedAt)) / 1000);
  return hold.endedAt === null ? `${text}, ${words.now}` : text;
}
