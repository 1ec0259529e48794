/** Who did what, when and why; the filter stands in the address. */
import { useQuery } from '@tanstack/react-query';
import { keys } from '@/api/keys';
import type { AuditEntry, Deed } from '@/api/types';
import { AUDIT_LINES, type AuditFilter, readAudit } from '@/api/writes';
import { enAudit as words } from '@/text/en_actions';
import { enVm } from '@/text/en_vm';
import { useAddress } from '@/ui/address';
import { Button } from '@/ui/button';
import { Choice } from '@/ui/choice';
import { DataTable } from '@/ui/data_table';
import { Moment } from '@/ui/moment';
import { Nothing, Pending } from '@/ui/trouble';

export function AuditPage() {
  const { params, change } = useAddress();
  const filter = filterFrom(params);
  const lines = useQuery({
    queryKey: keys.audit(filter),
    queryFn: ({ signal }) => readAudit(filter, { signal }),
    refetchInterval: filter.before === null ? 15_000 : false,
  });
  const last = lines.data?.at(-1)?.id ?? null;
  return (
    <div className="flex flex-col gap-4">
      <h1 className="text-lg font-semibold">{words.title}</h1>
      <p className="max-w-prose text-soft">{words.lead}</p>
      <div className="flex flex-wrap items-center gap-2">
        <Choice
          label={words.action}
          value={filter.action ?? ''}
          options={[['', words.anyAction], ...Object.entries(words.deeds)]}
          onChange={(action) => change({ action: action || null, before: null })}
        />
        {(filter.vm !== null || filter.action !== null) && (
          <Button onClick={() => change({ vm: null, action: null, before: null })}>
            {words.all}
          </Button>
        )}
        <span className="flex-1" />
        {filter.before !== null && (
          <Button onClick={() => change({ before: null })}>{words.newest}</Button>
        )}
        <Button
          disabled={(lines.data?.length ?? 0) < AUDIT_LINES}
          onClick={() => change({ before: last })}
        >
          {words.older}
        </Button>
      </div>
      {lines.data === undefined ? (
        <Pending query={lines} />
      ) : (
        <Lines lines={lines.data} filter={filter} />
      )}
    </div>
  );
}

export function filterFrom(params: URLSearchParams): AuditFilter {
  const action = params.get('action');
  return {
    vm: params.get('vm'),
    action: action !== null && action in words.deeds ? (action as Deed) : null,
    before: params.get('before'),
  };
}

function Lines({ lines, filter }: { lines: AuditEntry[]; filter: AuditFilter }) {
  const { change } = useAddress();
  if (lines.length === 0) {
    const filtered = filter.vm !== null || filter.action !== null;
    return <Nothing title={filtered ? words.noMatch : words.none} next="" />;
  }
  return (
    <div className="panel p-4">
      <DataTable
        label={words.title}
        empty={words.none}
        columns={[words.at, words.who, words.what, words.vm, words.why]}
        rows={lines.map((line) => ({
          key: line.id,
          cells: [
            <Moment key="at" at={line.timestamp} />,
            <span key="who">
              {line.actor} <span className="text-soft">({enVm.resets.sources[line.source]})</span>
            </span>,
            words.deeds[line.action] ?? line.action,
            line.vmId === null ? (
              '–'
            ) : (
              <button
                key="vm"
                type="button"
                className="text-left break-all text-accent hover:underline"
                title={words.onlyVm(line.hostname ?? line.vmId)}
                onClick={() => change({ vm: line.vmId, before: null })}
              >
                {line.hostname ?? line.vmId}
              </button>
            ),
            <span key="why" className="break-words">
              {line.reason ?? '–'}
            </span>,
          ],
        }))}
      />
    </div>
  );
}
