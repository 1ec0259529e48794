/** Reset several chosen VMs: capped, confirmed by typing how many, a few at a time. */
import { useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useEffect, useRef, useState } from 'react';
import { keys } from '@/api/keys';
import type { Vm } from '@/api/types';
import { askReset } from '@/api/writes';
import { RoleButton } from '@/features/auth/role_button';
import { enActions } from '@/text/en_actions';
import { Button } from '@/ui/button';
import { TextField } from '@/ui/field';
import { Modal } from '@/ui/modal';
import { failureText } from '@/ui/trouble';
import { fewAtATime, type Run } from './at_once';

/** More than a person means to reset by hand at once. */
export const MOST_CHOSEN = 20;
const AT_ONCE = 4;

const words = enActions.bulk;

export function BulkBar({ vms, onNone }: { vms: readonly Vm[]; onNone: () => void }) {
  const [confirmed, setConfirmed] = useState<readonly Vm[] | null>(null);
  const tooMany = vms.length > MOST_CHOSEN;
  return (
    <>
      {vms.length > 0 && (
        <section
          aria-label={words.bar}
          className="panel sticky bottom-3 z-20 flex flex-wrap items-center gap-2 border-accent px-4 py-2 shadow-lg"
        >
          <span className="font-medium" aria-live="polite">
            {words.chosen(vms.length)}
          </span>
          {tooMany && <span className="text-sm text-soft">{words.most(MOST_CHOSEN)}</span>}
          <span className="flex-1" />
          <Button onClick={onNone}>{words.none}</Button>
          <RoleButton
            needs="operator"
            weight="danger"
            disabled={tooMany}
            onClick={() => setConfirmed(vms)}
          >
            {words.open(vms.length)}
          </RoleButton>
        </section>
      )}
      {confirmed !== null && (
        <BulkDialog vms={confirmed} onClose={() => setConfirmed(null)} onBegin={onNone} />
      )}
    </>
  );
}

type Told = { text: string; wrong: boolean };
type DialogProps = { vms: readonly Vm[]; onClose: () => void; onBegin: () => void };

/** The VMs are those that were chosen when it opened, whatever the list behind it does. */
function BulkDialog({ vms, onClose, onBegin }: DialogProps) {
  const bulk = useBulkReset(vms);
  const begin = (reason: string) => {
    onBegin();
    bulk.begin(reason);
  };
  const closeLabel = bulk.phase === 'form' ? enActions.cancel : enActions.close;
  return (
    <Modal title={words.title(vms.length)} closeLabel={closeLabel} onClose={onClose}>
      {bulk.phase === 'form' ? (
        <BulkForm vms={vms} onSend={begin} onClose={onClose} />
      ) : (
        <div className="flex flex-col gap-3">
          <Outcomes vms={vms} told={bulk.told} />
          <div className="flex justify-end gap-2">
            {bulk.phase === 'over' ? (
              <Button weight="strong" onClick={onClose} autoFocus>
                {words.done}
              </Button>
            ) : (
              <Button onClick={bulk.stop}>{words.stop}</Button>
            )}
          </div>
        </div>
      )}
    </Modal>
  );
}

function useBulkReset(vms: readonly Vm[]) {
  const cache = useQueryClient();
  const [told, setTold] = useState<ReadonlyMap<string, Told>>(new Map());
  const [phase, setPhase] = useState<'form' | 'running' | 'over'>('form');
  const run = useRef<Run | null>(null);
  // Closed: what was not asked for yet is not asked for any more.
  useEffect(() => () => run.current?.stop(), []);
  const begin = (reason: string) => {
    const tell = (vm: Vm, one: Told) => setTold((before) => new Map(before).set(vm.id, one));
    setPhase('running');
    run.current = fewAtATime(
      vms,
      AT_ONCE,
      async (vm) => {
        tell(vm, { text: words.now, wrong: false });
        tell(vm, await outcomeOf(vm, reason));
      },
      (vm) => tell(vm, { text: words.skipped, wrong: false }),
    );
    void run.current.ended.then(() => {
      setPhase('over');
      for (const queryKey of [keys.lists, keys.vms, keys.system, keys.audits])
        void cache.invalidateQueries({ queryKey });
    });
  };
  return { told, phase, begin, stop: () => run.current?.stop() };
}

async function outcomeOf(vm: Vm, reason: string): Promise<Told> {
  try {
    const answer = await askReset(vm.id, { reason, force: false, key: crypto.randomUUID() });
    return { text: answer?.message ?? words.asked, wrong: false };
  } catch (error) {
    return { text: error instanceof Error ? error.message : failureText(error), wrong: true };
  }
}

type FormProps = { vms: readonly Vm[]; onSend: (reason: string) => void; onClose: () => void };

function BulkForm({ vms, onSend, onClose }: FormProps) {
  const [reason, setReason] = useState('');
  const [typed, setTyped] = useState('');
  const [tried, setTried] = useState(false);
  const wrong = typed.trim() !== String(vms.length);
  const send = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (reason.trim() !== '' && !wrong) onSend(reason.trim());
  };
  return (
    <form onSubmit={send} noValidate className="flex flex-col gap-4">
      <p>{enActions.reset.lead}</p>
      <p className="text-soft">{words.lead(AT_ONCE)}</p>
      <p className="max-h-40 overflow-y-auto text-sm break-words">
        {vms.map((vm) => vm.hostname).join(', ')}
      </p>
      <TextField
        label={enActions.reason}
        error={tried && reason.trim() === '' ? enActions.reasonMissing : null}
        value={reason}
        onChange={setReason}
        rows={2}
        autoFocus
      />
      <TextField
        label={words.type(vms.length)}
        error={tried && wrong ? words.typeMissing(vms.length) : null}
        value={typed}
        onChange={setTyped}
      />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{enActions.cancel}</Button>
        <Button type="submit" weight="danger">
          {words.submit(vms.length)}
        </Button>
      </div>
    </form>
  );
}

function Outcomes({ vms, told }: { vms: readonly Vm[]; told: ReadonlyMap<string, Told> }) {
  return (
    <ul aria-live="polite" className="divide-y divide-line">
      {vms.map((vm) => {
        const one = told.get(vm.id);
        return (
          <li key={vm.id} className="py-1.5">
            <span className="font-medium break-all">{vm.hostname}</span>{' '}
            <span className={one?.wrong ? 'text-down' : 'text-soft'}>
              {one?.text ?? words.waiting}
            </span>
          </li>
        );
      })}
    </ul>
  );
}
