/** The sign-in form. It stands in the place of the view, so the address is kept. */
import { type FormEvent, useId, useState } from 'react';
import { Failure } from '@/api/failure';
import { en } from '@/text/en';
import { Banner } from '@/ui/banner';
import { Button } from '@/ui/button';
import { failureText } from '@/ui/trouble';
import { checkToken } from './check_token';
import { session } from './session';

export function SignIn({ expired }: { expired: boolean }) {
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
      await checkToken(given);
      session.begin(given);
    } catch (error) {
      setProblem(problemText(error));
      setChecking(false);
    }
  };

  return (
    <main className="mx-auto flex min-h-dvh max-w-md flex-col justify-center gap-4 px-4 pb-24">
      <div className="flex items-center gap-3">
        <img src="/favicon.svg" alt="" width="36" height="36" />
        <h1 className="text-xl font-semibold tracking-tight">{en.signIn.title}</h1>
      </div>
      {expired && <Banner weight="warning">{en.signIn.expired}</Banner>}
      <form onSubmit={submit} className="panel flex flex-col gap-3 p-5" noValidate>
        <label htmlFor={field} className="font-medium">
          {en.signIn.token}
        </label>
        <input
          id={field}
          type="password"
          autoComplete="current-password"
          spellCheck={false}
          // biome-ignore lint/a11y/noAutofocus: it is the only thing to do on this page
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
    </main>
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
