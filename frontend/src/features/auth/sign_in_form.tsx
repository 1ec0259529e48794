/** Signing in, by a token or by who else vouches for people here. */
import { useQuery } from '@tanstack/react-query';
import { type FormEvent, useId, useState } from 'react';
import { Failure } from '@/api/failure';
import { keys } from '@/api/keys';
import type { SignInWays } from '@/api/types';
import { en } from '@/text/en';
import { Button, buttonClass } from '@/ui/button';
import { failureText } from '@/ui/trouble';
import { session } from './session';
import { askWays } from './session_calls';

/** `beside`: what is on the page is to stay, so another way in opens in a tab of its own. */
export function SignInForm({ beside = false }: { beside?: boolean }) {
  // While nobody knows, a token is always a way in.
  const { data } = useQuery({ queryKey: keys.ways, queryFn: askWays, staleTime: 60_000 });
  return (
    <div className="flex flex-col gap-4">
      {data?.oidc && <Elsewhere oidc={data.oidc} beside={beside} />}
      {data?.proxy && <p className="text-soft">{en.signIn.proxy}</p>}
      {data?.token !== false && <TokenForm />}
    </div>
  );
}

type ElsewhereProps = { oidc: NonNullable<SignInWays['oidc']>; beside: boolean };

function Elsewhere({ oidc, beside }: ElsewhereProps) {
  const to = new URL(oidc.url, location.origin);
  to.searchParams.set('next', `${location.pathname}${location.search}`);
  return (
    <div className="flex flex-col gap-1">
      <a
        className={buttonClass('strong', 'h-9')}
        href={to.href}
        {...(beside && { target: '_blank', rel: 'noopener' })}
      >
        {oidc.label}
      </a>
      {beside && <p className="text-sm text-soft">{en.signIn.beside}</p>}
    </div>
  );
}

function TokenForm() {
  const field = useId();
  const [token, setToken] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const [checking, setChecking] = useState(false);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const given = token.trim();
    if (given === '') return setProblem(en.signIn.empty);
    // A header holds nothing else, and no token does.
    if (!/^[\x21-\x7e]+$/.test(given)) return setProblem(en.signIn.noToken);
    setChecking(true);
    setProblem(null);
    try {
      await session.signIn(given);
    } catch (error) {
      setProblem(problemText(error));
      setChecking(false);
    }
  };

  return (
    <form onSubmit={submit} className="panel flex flex-col gap-3 p-5" noValidate>
      <label htmlFor={field} className="font-medium">
        {en.signIn.token}
      </label>
      <input
        id={field}
        type="password"
        autoComplete="current-password"
        spellCheck={false}
        // biome-ignore lint/a11y/noAutofocus: it is the only thing to do here
        autoFocus
        value={token}
        onChange={(event) => setToken(event.target.value)}
        aria-invalid={problem !== null}
        aria-describedby={`${field}-hint`}
        className="h-9 rounded-md border border-line-strong bg-page px-3 font-mono"
      />
      {problem !== null && (
        <p role="alert" className="font-medium text-down">
          {problem}
        </p>
      )}
      <Button type="submit" weight="strong" className="h-9" disabled={checking}>
        {checking ? en.signIn.checking : en.signIn.submit}
      </Button>
      <p id={`${field}-hint`} className="text-sm text-soft">
        {en.signIn.hint} <code className="font-mono text-text">{en.signIn.command}</code>.{' '}
        {en.signIn.local} {en.signIn.kept}
      </p>
    </form>
  );
}

/** The API's own words where it refuses the token: it knows why. */
function problemText(error: unknown): string {
  const refused = error instanceof Failure && error.kind === 'signedOut';
  return refused ? sentence(error.message) : failureText(error);
}

function sentence(message: string): string {
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
}
