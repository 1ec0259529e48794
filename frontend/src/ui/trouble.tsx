/** What a view shows instead of its content: loading, failed, or nothing there. */
import type { ReactNode } from 'react';
import { Failure } from '@/api/failure';
import { en } from '@/text/en';
import { Button } from './button';

export function Loading({ rows = 6 }: { rows?: number }) {
  return (
    <div role="status" className="flex flex-col gap-2 py-2">
      <span className="sr-only">{en.loading}</span>
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the rows are all alike
        <div key={row} className="h-8 animate-pulse rounded-md bg-raised" />
      ))}
    </div>
  );
}

export function FailureNote({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  return (
    <div role="alert" className="panel flex flex-col items-start gap-2 p-6">
      <h2 className="text-base font-semibold">{en.failure.title}</h2>
      <p className="max-w-prose text-soft">{failureText(error)}</p>
      {onRetry && <Button onClick={onRetry}>{en.failure.again}</Button>}
    </div>
  );
}

/** What stands in for a query's content while there is none: not there yet, or failed. */
export function Pending({
  query,
  rows,
}: {
  query: { isError: boolean; error: unknown; refetch: () => unknown };
  rows?: number;
}) {
  if (query.isError)
    return <FailureNote error={query.error} onRetry={() => void query.refetch()} />;
  return <Loading {...(rows !== undefined && { rows })} />;
}

/** What went wrong and what to do, for a person. */
export function failureText(error: unknown): string {
  if (!(error instanceof Failure)) return en.failure.crashed;
  switch (error.kind) {
    case 'broken':
      return en.failure.broken(error.details.requestId);
    case 'refused':
      return error.message;
    case 'signedOut':
      return en.signIn.expired;
    default:
      return en.failure[error.kind];
  }
}

export function Nothing({
  title,
  next,
  children,
}: {
  title: string;
  next: string;
  children?: ReactNode;
}) {
  return (
    <div className="panel flex flex-col items-center gap-2 px-6 py-14 text-center">
      <h2 className="text-base font-semibold">{title}</h2>
      <p className="max-w-prose text-soft">{next}</p>
      {children && <div className="mt-2 flex gap-2">{children}</div>}
    </div>
  );
}
