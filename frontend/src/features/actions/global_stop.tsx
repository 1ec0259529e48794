/** The stop of every reset: whether it is on, who wants it, and the way in and out. */
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { keys } from '@/api/keys';
import { readGlobalStop } from '@/api/reads';
import { endStop, stopAll } from '@/api/writes';
import { REFRESH_MS } from '@/app/query_client';
import { RoleButton } from '@/features/auth/role_button';
import { enActions } from '@/text/en_actions';
import { TextField } from '@/ui/field';
import { Ago } from '@/ui/moment';
import { Pending } from '@/ui/trouble';
import { ActionDialog } from './action_dialog';

const words = enActions.stop;

export function GlobalStop() {
  const [open, setOpen] = useState<'stop' | 'go' | null>(null);
  const state = useQuery({
    queryKey: keys.globalStop,
    queryFn: readGlobalStop,
    refetchInterval: REFRESH_MS,
  });
  if (state.data === undefined) return <Pending query={state} rows={2} />;
  const byHand = state.data.stops.some((stop) => stop.systemConfig === null);
  return (
    <section className="panel flex flex-col gap-3 p-4">
      <h2 className="text-base font-semibold">{words.title}</h2>
      {state.data.stopped ? (
        <ul className="flex flex-col gap-1">
          {state.data.stops.map((stop) => (
            <li key={`${stop.systemConfig} ${stop.since}`}>
              <strong className="text-down">{words.on}</strong>: {stop.reason}{' '}
              <span className="text-soft">
                ({words.by} {stop.by}, <Ago at={stop.since} />)
              </span>{' '}
              {stop.systemConfig !== null && words.fromSpec(stop.systemConfig)}
            </li>
          ))}
        </ul>
      ) : (
        <p className="max-w-prose text-soft">{words.off}</p>
      )}
      <div className="flex gap-2">
        {byHand ? (
          <RoleButton needs="operator" onClick={() => setOpen('go')}>
            {words.endOpen}
          </RoleButton>
        ) : (
          <RoleButton needs="operator" weight="danger" onClick={() => setOpen('stop')}>
            {words.open}
          </RoleButton>
        )}
      </div>
      {open === 'stop' && (
        <ActionDialog
          title={words.dialog}
          lead={words.lead}
          submit={words.submit}
          weight="danger"
          act={stopAll}
          onClose={() => setOpen(null)}
        />
      )}
      {open === 'go' && <EndDialog onClose={() => setOpen(null)} />}
    </section>
  );
}

/** Ending it may let many resets go, so it takes a word; beginning it is never in the way. */
function EndDialog({ onClose }: { onClose: () => void }) {
  const [typed, setTyped] = useState('');
  return (
    <ActionDialog
      title={words.endDialog}
      lead={words.endLead}
      submit={words.endSubmit}
      weight="danger"
      act={endStop}
      problem={() => (typed.trim().toLowerCase() === words.typeWord ? null : words.typeMissing)}
      onClose={onClose}
    >
      <TextField label={words.type(words.typeWord)} value={typed} onChange={setTyped} />
    </ActionDialog>
  );
}
