/** Reset one VM: what to know first, why, and then what became of it, up to its heartbeat. */
import { useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { keys } from '@/api/keys';
import { readExplanation, readVm } from '@/api/reads';
import type { Reset, Vm } from '@/api/types';
import { askReset, readReset } from '@/api/writes';
import { REFRESH_MS } from '@/app/query_client';
import { useMay } from '@/features/auth/who';
import { enActions } from '@/text/en_actions';
import { Button } from '@/ui/button';
import { Facts, TextField } from '@/ui/field';
import { Modal } from '@/ui/modal';
import { Ago } from '@/ui/moment';
import { StateBadge } from '@/ui/state_mark';
import { Outcome, Refusal, useDoing } from './action_dialog';

const words = enActions.reset;

type Asked = Awaited<ReturnType<typeof askReset>>;

export function ResetDialog({ vm, onClose }: { vm: Vm; onClose: () => void }) {
  const [key] = useState(() => crypto.randomUUID());
  const asking = useDoing((wish: { reason: string; force: boolean }) =>
    askReset(vm.id, { ...wish, key }),
  );
  return (
    <Modal
      title={words.title(vm.hostname)}
      closeLabel={asking.isSuccess ? enActions.close : enActions.cancel}
      onClose={onClose}
    >
      {asking.isSuccess ? (
        <Following vm={vm} asked={asking.data} onClose={onClose} />
      ) : (
        <ResetForm
          vm={vm}
          busy={asking.isPending}
          error={asking.error}
          onSend={asking.mutate}
          onClose={onClose}
        />
      )}
    </Modal>
  );
}

type FormProps = {
  vm: Vm;
  busy: boolean;
  error: unknown;
  onSend: (wish: { reason: string; force: boolean }) => void;
  onClose: () => void;
};

function ResetForm({ vm, busy, error, onSend, onClose }: FormProps) {
  const [reason, setReason] = useState('');
  const [force, setForce] = useState(false);
  const [tried, setTried] = useState(false);
  const exhausted = vm.state === 'reset_failed';
  const mayForce = useMay('administrator');
  const send = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (reason.trim() === '' || (exhausted && !force)) return;
    onSend({ reason: reason.trim(), force });
  };
  return (
    <form onSubmit={send} noValidate className="flex flex-col gap-4">
      <p>{words.lead}</p>
      <Known vm={vm} />
      {vm.resetPending && <p className="font-medium text-pending">{words.pending}</p>}
      <TextField
        label={enActions.reason}
        hint={enActions.reasonHint}
        error={tried && reason.trim() === '' ? enActions.reasonMissing : null}
        value={reason}
        onChange={setReason}
        rows={2}
        autoFocus
      />
      {exhausted && (
        <label className="flex items-center gap-2">
          <input
            type="checkbox"
            checked={force}
            disabled={!mayForce}
            onChange={(event) => setForce(event.target.checked)}
            className="size-4 accent-(--c-accent)"
          />
          {words.force}
          {!mayForce && <span className="text-soft">({words.forceRole})</span>}
        </label>
      )}
      {tried && exhausted && !force && (
        <p role="alert" className="font-medium text-down">
          {words.forceNeeded}
        </p>
      )}
      {error !== null && <Refusal error={error} />}
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{enActions.cancel}</Button>
        <Button type="submit" weight="danger" disabled={busy}>
          {busy ? enActions.working : words.submit}
        </Button>
      </div>
    </form>
  );
}

/** What one wants to have seen before pressing the button. */
function Known({ vm }: { vm: Vm }) {
  const explained = useQuery({
    queryKey: keys.vmExplain(vm.id),
    queryFn: ({ signal }) => readExplanation(vm.id, { signal }),
    refetchInterval: REFRESH_MS,
  });
  const verdict = explained.data?.verdict;
  return (
    <Facts
      rows={[
        [words.state, <StateBadge key="state" state={vm.state} />],
        [words.node, vm.node ?? '–'],
        [words.last, vm.lastReset === null ? words.noLast : <Ago key="last" at={vm.lastReset} />],
        [
          words.attempts,
          words.attemptsLeft(
            Math.max(0, vm.maxResetAttempts - vm.resetAttempts),
            vm.maxResetAttempts,
          ),
        ],
        [
          words.verdict,
          verdict === undefined
            ? '…'
            : [verdict.reason, verdict.message].filter((one) => one !== null).join(': '),
        ],
      ]}
    />
  );
}

/** After it was asked for: the outcome, then the heartbeat that proves it. */
function Following({ vm, asked, onClose }: { vm: Vm; asked: Asked; onClose: () => void }) {
  const waitsFor = asked !== undefined && 'resetId' in asked ? asked.resetId : null;
  const reset = useQuery({
    queryKey: keys.vmReset(vm.id, waitsFor),
    queryFn: ({ signal }) => readReset(waitsFor ?? '', { signal }),
    enabled: waitsFor !== null,
    refetchInterval: (query) => (isOver(query.state.data) ? false : 1000),
  });
  const now = useQuery({
    queryKey: keys.vmNow(vm.id),
    queryFn: ({ signal }) => readVm(vm.id, { signal }),
    refetchInterval: 2000,
  });
  if (reset.data?.phase === 'failed')
    return <Ended text={`${words.ended.failed}: ${reset.data.error ?? ''}`} onClose={onClose} />;
  if (waitsFor !== null && !isOver(reset.data))
    return <Outcome text={words.waiting} onClose={onClose} />;
  const came = waitsFor === null || reset.data?.phase === 'succeeded';
  if (came && now.data !== undefined && !now.data.resetPending && isUp(now.data))
    return <Outcome text={words.proven} onClose={onClose} />;
  return <Outcome text={saidOf(asked, reset.data)} onClose={onClose} />;
}

function Ended({ text, onClose }: { text: string; onClose: () => void }) {
  return (
    <div className="flex flex-col gap-4">
      <p role="alert" className="font-medium break-words text-down">
        {text}
      </p>
      <div className="flex justify-end">
        <Button onClick={onClose}>{enActions.close}</Button>
      </div>
    </div>
  );
}

function saidOf(asked: Asked, reset: Reset | undefined): string {
  if (reset !== undefined && reset.phase in words.ended) {
    const text = words.ended[reset.phase as keyof typeof words.ended];
    return reset.error === null ? text : `${text}: ${reset.error}`;
  }
  return words.sent(asked?.message ?? '');
}

export function isOver(reset: Reset | undefined): boolean {
  return reset !== undefined && !['requested', 'sending', 'sent'].includes(reset.phase);
}

function isUp(vm: Vm): boolean {
  return vm.state === 'healthy' || vm.state === 'warning';
}
