/** Why a VM is treated as it is, and what would have to happen for a reset, in plain words. */
import { useQuery } from '@tanstack/react-query';
import clsx from 'clsx';
import type { ReactNode } from 'react';
import { keys } from '@/api/keys';
import { readExplanation } from '@/api/reads';
import type { VmExplanation } from '@/api/types';
import { REFRESH_MS } from '@/app/query_client';
import { enVm } from '@/text/en_vm';
import { Facts } from '@/ui/field';
import { Ago, Moment } from '@/ui/moment';
import { durationText } from '@/ui/time';
import { Pending } from '@/ui/trouble';

const words = enVm.why;

export function WhyPanel({ id }: { id: string }) {
  const explained = useQuery({
    queryKey: keys.vmExplain(id),
    queryFn: ({ signal }) => readExplanation(id, { signal }),
    refetchInterval: REFRESH_MS,
  });
  if (explained.data === undefined) return <Pending query={explained} rows={3} />;
  return <Explained of={explained.data} />;
}

function Explained({ of: explained }: { of: VmExplanation }) {
  const { verdict, warnings, needed, clocks, attempts, inForce, checks, decisions } = explained;
  const isDown = explained.state === 'down' || explained.state === 'reset_failed';
  return (
    <section className="panel flex flex-col gap-3 p-4">
      <h3 className="sr-only">{words.title}</h3>
      {warnings.map((warning) => (
        <p key={warning} role="alert" className="font-medium text-down">
          {warning}
        </p>
      ))}
      <p className="text-base">
        {verdict.reason !== null && <strong>{verdict.reason}: </strong>}
        {verdict.reason === null ? capital(verdict.message) : verdict.message}
        {verdict.since !== null && (
          <span className="text-soft">
            {' '}
            (<Ago at={verdict.since} />)
          </span>
        )}
      </p>
      {isDown && <Needed steps={needed} />}
      <Facts rows={[...clockRows(clocks, isDown), ...attemptRows(attempts)]} />
      {inForce.length > 0 && (
        <div>
          <h4 className="font-medium">{words.inForce}</h4>
          <ul className="list-disc pl-5">
            {inForce.map((one) => (
              <li key={one.reason}>
                <strong>{one.reason}</strong>: {one.message}
              </li>
            ))}
          </ul>
        </div>
      )}
      <Fold title={words.checks}>
        <Checks checks={checks} />
      </Fold>
      <Fold title={words.decisions}>
        <Decisions decisions={decisions} />
      </Fold>
    </section>
  );
}

function capital(message: string): string {
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}`;
}

function Needed({ steps }: { steps: readonly string[] }) {
  if (steps.length === 0) return <p className="text-soft">{words.neededNone}</p>;
  return (
    <div>
      <h4 className="font-medium">{words.needed}</h4>
      <ol className="list-decimal pl-5">
        {steps.map((step) => (
          <li key={step}>{step}</li>
        ))}
      </ol>
    </div>
  );
}

type Rows = (readonly [string, ReactNode])[];

function clockRows(clocks: VmExplanation['clocks'], isDown: boolean): Rows {
  const silence = words.silentOf(
    durationText(clocks.silenceSeconds),
    durationText(clocks.staleTimeoutSeconds),
  );
  const rows: Rows = [[words.silent, silence]];
  rows.push([
    words.countsFrom,
    <span key="from">
      <Moment at={clocks.countsFrom} />: {clocks.countsFromWhy}
    </span>,
  ]);
  if (!isDown) rows.push([words.runsOut, <Moment key="out" at={clocks.runsOutAt} />]);
  return rows;
}

function attemptRows(attempts: VmExplanation['attempts']): Rows {
  const rows: Rows = [[words.attempts, words.attemptsUsed(attempts.used, attempts.allowed)]];
  if (attempts.nextNotBefore !== null)
    rows.push([words.nextNotBefore, <Moment key="next" at={attempts.nextNotBefore} />]);
  return rows;
}

function Fold({ title, children }: { title: string; children: ReactNode }) {
  return (
    <details>
      <summary className="w-fit cursor-pointer font-medium text-soft hover:text-text">
        {title}
      </summary>
      <div className="mt-2">{children}</div>
    </details>
  );
}

function Checks({ checks }: { checks: VmExplanation['checks'] }) {
  return (
    <ul className="text-sm">
      {checks.map((check) => (
        <li key={check.reason} className="flex flex-wrap gap-x-3">
          <span className="w-40 font-medium">{check.reason}</span>
          <span className={clsx('w-20', check.status === 'holds' ? 'text-down' : 'text-soft')}>
            {words.checkStatus[check.status]}
          </span>
          <span className="min-w-0 flex-1 basis-64 text-soft">{check.message}</span>
        </li>
      ))}
    </ul>
  );
}

function Decisions({ decisions }: { decisions: VmExplanation['decisions'] }) {
  if (decisions.length === 0) return <p className="text-soft">{words.noDecisions}</p>;
  return (
    <ul className="text-sm">
      {decisions.map((one) => (
        <li key={`${one.at} ${one.kind} ${one.message}`} className="flex flex-wrap gap-x-3">
          <span className="text-soft">
            <Moment at={one.at} />
          </span>
          <span className="min-w-0 flex-1 basis-64">{one.message}</span>
        </li>
      ))}
    </ul>
  );
}
