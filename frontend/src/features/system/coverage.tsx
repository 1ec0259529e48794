/** What is not watched over though it should be: VMs without an agent, agents of no VM. */
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { Link } from 'wouter';
import { keys } from '@/api/keys';
import { readCoverage } from '@/api/reads';
import type { Coverage as Found } from '@/api/types';
import { en } from '@/text/en';
import { Button } from '@/ui/button';
import { DataTable, type Row } from '@/ui/data_table';
import { Ago } from '@/ui/moment';
import { Pending } from '@/ui/trouble';

const words = en.coverage;
/** The inventory is read every ten seconds, and changes seldom. */
const OFTEN_MS = 30_000;
/** At once; more of them on demand. */
const STEP_ROWS = 50;

export function Coverage() {
  const coverage = useQuery({
    queryKey: keys.coverage,
    queryFn: readCoverage,
    refetchInterval: OFTEN_MS,
  });
  return (
    <section className="panel flex flex-col gap-3 p-4">
      <h2 className="text-xs font-semibold tracking-wide text-soft uppercase">{words.title}</h2>
      {coverage.data === undefined ? (
        <Pending query={coverage} rows={2} />
      ) : (
        <Lists found={coverage.data} />
      )}
    </section>
  );
}

function Lists({ found }: { found: Found }) {
  const { counts } = found;
  return (
    <>
      <p className="text-soft">
        {words.inventory(counts.inventory)} <ReadAt found={found} />
      </p>
      <Fold
        title={words.agentless}
        count={counts.agentless}
        columns={[words.name, words.vmid, words.node, words.cluster, words.state]}
        rows={found.agentless.map((one) => ({
          key: `${one.cluster} ${one.vmid}`,
          cells: [one.name ?? '–', one.vmid, one.node, one.cluster, one.state],
        }))}
      />
      <Fold
        title={words.unknownAgents}
        count={counts.unknownAgents}
        columns={[words.name, words.vmid, words.cluster, words.heard, words.why]}
        rows={found.unknownAgents.map((one) => ({
          key: `${one.cluster} ${one.vmId} ${one.hostname}`,
          cells: [
            <Vm key="vm" id={one.vmId} name={one.hostname} />,
            one.vmid ?? '–',
            one.cluster,
            when(one.lastHeartbeat),
            one.message,
          ],
        }))}
      />
      <Fold
        title={words.notResettable}
        count={counts.notResettable}
        columns={[words.name, words.node, words.cluster, words.why]}
        rows={found.notResettable.map((one) => ({
          key: one.vmId,
          cells: [
            <Vm key="vm" id={one.vmId} name={one.hostname} />,
            one.node ?? '–',
            one.cluster,
            `${one.reason}: ${one.message}`,
          ],
        }))}
      />
    </>
  );
}

const when = (at: string | null) => (at === null ? en.time.never : <Ago at={at} />);

/** A cluster that was not read is not covered either: its VMs are on no list. */
function ReadAt({ found: { clusters } }: { found: Found }) {
  return clusters.map(({ cluster, readAt }, index) => (
    <span key={cluster}>
      {index === 0 ? `${words.lastRead} ` : ', '}
      {cluster}: {readAt === null ? words.neverRead : <Ago at={readAt} />}
    </span>
  ));
}

type FoldProps = {
  title: string;
  /** How many there are; the API lists so many of them. */
  count: number;
  columns: readonly string[];
  rows: readonly Row[];
};

function Fold({ title, count, columns, rows }: FoldProps) {
  const [most, setMost] = useState(STEP_ROWS);
  const left = rows.length - most;
  return (
    <details>
      <summary className="w-fit cursor-pointer font-medium">
        {title}: {count.toLocaleString('en')}
      </summary>
      <div className="mt-2 flex flex-col items-start gap-2">
        <div className="w-full">
          <DataTable
            label={title}
            empty={words.none}
            columns={columns}
            rows={rows.slice(0, most)}
          />
        </div>
        {left > 0 && (
          <span className="flex flex-wrap items-center gap-2">
            <Button onClick={() => setMost(most + STEP_ROWS)}>
              {words.more(Math.min(left, STEP_ROWS))}
            </Button>
            <Button weight="quiet" onClick={() => setMost(rows.length)}>
              {words.allOf(rows.length)}
            </Button>
          </span>
        )}
        {left <= 0 && count > rows.length && (
          <p className="text-sm text-soft">{words.first(rows.length)}</p>
        )}
      </div>
    </details>
  );
}

function Vm({ id, name }: { id: string | null; name: string }) {
  if (id === null) return <span className="break-all">{name}</span>;
  return (
    <Link href={`/vm/${id}`} className="break-all text-accent hover:underline">
      {name}
    </Link>
  );
}
