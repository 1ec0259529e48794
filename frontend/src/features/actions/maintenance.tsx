/** Maintenance windows: which there are, opening one, ending one. */
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { keys } from '@/api/keys';
import { readMaintenance } from '@/api/reads';
import type { Maintenance as Window } from '@/api/types';
import { closeMaintenance, openMaintenance } from '@/api/writes';
import { REFRESH_MS } from '@/app/query_client';
import { RoleButton } from '@/features/auth/role_button';
import { enActions } from '@/text/en_actions';
import { DataTable } from '@/ui/data_table';
import { ChoiceField, TextField } from '@/ui/field';
import { Moment } from '@/ui/moment';
import { Pending } from '@/ui/trouble';
import { ActionDialog } from './action_dialog';

const words = enActions.maintenance;

export function Maintenance() {
  const [open, setOpen] = useState<Window | 'new' | null>(null);
  const windows = useQuery({
    queryKey: keys.maintenance,
    queryFn: readMaintenance,
    refetchInterval: REFRESH_MS,
  });
  return (
    <section className="panel flex flex-col gap-3 p-4">
      <div className="flex flex-wrap items-center justify-between gap-2">
        <h2 className="text-base font-semibold">{words.title}</h2>
        <RoleButton needs="operator" onClick={() => setOpen('new')}>
          {words.open}
        </RoleButton>
      </div>
      <p className="text-soft">{words.lead}</p>
      {windows.data === undefined ? (
        <Pending query={windows} rows={2} />
      ) : (
        <Windows windows={windows.data} onEnd={setOpen} />
      )}
      {open === 'new' && <NewWindow onClose={() => setOpen(null)} />}
      {open !== null && open !== 'new' && (
        <ActionDialog
          title={words.endTitle(open.name)}
          lead={words.endLead}
          submit={words.endSubmit}
          act={(reason) => closeMaintenance(open.id, reason)}
          onClose={() => setOpen(null)}
        />
      )}
    </section>
  );
}

function Windows({ windows, onEnd }: { windows: Window[]; onEnd: (window: Window) => void }) {
  return (
    <DataTable
      label={words.title}
      empty={words.none}
      columns={[words.name, words.labels, words.vms, words.from, words.until, words.reason, '']}
      rows={windows.map((one) => ({
        key: one.id,
        cells: [
          <span key="name">
            <span className="font-medium">{one.name}</span>{' '}
            <span className="text-soft">{one.active ? words.active : words.planned}</span>
          </span>,
          labelsText(one.matchLabels),
          one.vms,
          <Moment key="from" at={one.from} />,
          <Moment key="until" at={one.until} />,
          `${one.reason} (${one.createdBy})`,
          one.systemConfig === null ? (
            <RoleButton key="end" needs="operator" onClick={() => onEnd(one)}>
              {words.end}
            </RoleButton>
          ) : (
            <span key="spec" className="text-soft">
              {words.fromSpec(one.systemConfig)}
            </span>
          ),
        ],
      }))}
    />
  );
}

function labelsText(labels: Record<string, unknown>): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${String(value)}`);
  return pairs.length === 0 ? words.everyVm : pairs.join(', ');
}

function NewWindow({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState('');
  const [labels, setLabels] = useState('');
  const [minutes, setMinutes] = useState('240');
  return (
    <ActionDialog
      title={words.dialog}
      lead={words.lead}
      submit={words.submit}
      problem={() => (labelsFrom(labels) === null ? words.labelsWrong : null)}
      act={async (reason) => {
        const opened = await openMaintenance({
          reason,
          name: name.trim() === '' ? null : name.trim(),
          matchLabels: labelsFrom(labels) ?? {},
          minutes: Number(minutes),
        });
        return { message: words.opened(opened.vms) };
      }}
      onClose={onClose}
    >
      <TextField label={words.name} value={name} onChange={setName} maxLength={63} />
      <TextField
        label={words.labels}
        hint={words.labelsHint}
        value={labels}
        onChange={setLabels}
        rows={3}
        mono
      />
      <ChoiceField
        label={words.length}
        value={minutes}
        options={words.lengths}
        onChange={setMinutes}
      />
    </ActionDialog>
  );
}

/** Read `key=value` lines; null where a line is something else. */
export function labelsFrom(text: string): Record<string, string> | null {
  const labels: Record<string, string> = {};
  for (const line of text.split(/[\n,]/).map((one) => one.trim())) {
    if (line === '') continue;
    const [, key, value] = /^([^=\s]+)=([^=\s]*)$/.exec(line) ?? [];
    if (key === undefined || value === undefined) return null;
    labels[key] = value;
  }
  return labels;
}
