/** What is not watched over though it should be: VMs without an agent, agents of no VM. */
import { useQuery } from '@tanstack/react-query';
import { Link } from 'wouter';
import { keys } from '@/api/keys';
import { readCoverage } from '@/api/reads';
import type { Coverage as Found } from '@/api/types';
import { en } from '@/text/en';
import { DataTable } from '@/ui/data_table';
import { Pending } from '@/ui/trouble';

const words = en.coverage;
/** The inventory is read every ten seconds, and changes seldom. */
const OFTEN_MS = 30_000;
const MOST_ROWS = 50;

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
      <p className="text-soft">{words.inventory(counts.inventory)}</p>
      <Fold title={words.agentless} count={counts.agentless}>
        <DataTable
          label={words.agentless}
          empty={words.none}
          columns={[words.name, words.vmid, words.node, words.state]}
          rows={found.agentless.slice(0, MOST_ROWS).map((one) => ({
            key: `${one.cluster} ${one.vmid}`,
            cells: [one.name ?? '–', one.vmid, one.node, one.state],
          }))}
        />
      </Fold>
      <Fold title={words.unknownAgents} count={counts.unknownAgents}>
        <DataTable
          label={words.unknownAgents}
          empty={words.none}
          columns={[words.name, words.vmid, words.why]}
          rows={found.unknownAgents.slice(0, MOST_ROWS).map((one) => ({
            key: `${one.cluster} ${one.vmId} ${one.hostname}`,
            cells: [
              <Vm key="vm" id={one.vmId} name={one.hostname} />,
              one.vmid ?? '–',
              one.message,
            ],
          }))}
        />
      </Fold>
      <Fold title={words.notResettable} count={counts.notResettable}>
        <DataTable
          label={words.notResettable}
          empty={words.none}
          columns={[words.name, words.node, words.why]}
          rows={found.notResettable.slice(0, MOST_ROWS).map((one) => ({
            key: one.vmId,
            cells: [
              <Vm key="vm" id={one.vmId} name={one.hostname} />,
              one.node ?? '–',
              `${one.reason}: ${one.message}`,
            ],
          }))}
        />
      </Fold>
    </>
  );
}

type FoldProps = { title: string; count: number; children: React.ReactNode };

function Fold({ title, count, children }: FoldProps) {
  return (
    <details>
      <summary className="w-fit cursor-pointer font-medium">
        {title}: {count.toLocaleString('en')}
      </summary>
      <div className="mt-2">
        {children}
        {count > MOST_ROWS && <p className="text-sm text-soft">{words.first(MOST_ROWS)}</p>}
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
