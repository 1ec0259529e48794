/** The page as a whole: who is signed in decides between the sign-in form and the views. */
import { type QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { lazy, Suspense, useEffect, useRef, useState } from 'react';
import { Route, Switch } from 'wouter';
import { keys } from '@/api/keys';
import { type SessionState, session } from '@/features/auth/session';
import { SignIn, SignInAgain, Unreachable } from '@/features/auth/sign_in';
import { useSession } from '@/features/auth/who';
import { FleetPage } from '@/features/fleet/fleet_page';
import { Live } from '@/live/live';
import { en } from '@/text/en';
import { Loading, Nothing } from '@/ui/trouble';
import { CrashGuard } from './crash_guard';
import { makeQueryClient } from './query_client';
import { Shell } from './shell';

const SystemPage = lazy(async () => ({
  default: (await import('@/features/system/system_page')).SystemPage,
}));
const SettingsPage = lazy(async () => ({
  default: (await import('@/features/settings/settings_page')).SettingsPage,
}));
const AuditPage = lazy(async () => ({
  default: (await import('@/features/audit/audit_page')).AuditPage,
}));
const VmPage = lazy(async () => ({ default: (await import('@/features/vm/vm_page')).VmPage }));

export function App() {
  const [cache] = useState(makeQueryClient);
  const state = useSession();
  useEffect(() => void session.ask(), []);
  useFreshFor(state, cache);
  return (
    <CrashGuard>
      <QueryClientProvider client={cache}>
        <Place state={state} />
      </QueryClientProvider>
    </CrashGuard>
  );
}

function Place({ state }: { state: SessionState }) {
  if (state === 'asking') return <Loading />;
  if (state === 'unreachable') return <Unreachable />;
  if (state === 'signedOut') return <SignIn />;
  return (
    <Live>
      <Shell>
        <Views />
      </Shell>
      {state === 'expired' && <SignInAgain />}
    </Live>
  );
}

/** Nothing of one person may be seen by the next; the same one goes on where he was. */
function useFreshFor(state: SessionState, cache: QueryClient): void {
  const before = useRef<string | null>(null);
  useEffect(() => {
    if (state === 'signedOut') {
      forgetAll(cache);
      before.current = null;
    }
    if (state !== 'signedIn') return;
    const name = session.me()?.name ?? null;
    if (before.current !== null)
      void (before.current === name ? cache.invalidateQueries() : cache.resetQueries());
    before.current = name;
  }, [cache, state]);
}

/** All but the ways to sign in, which the form is asking for in this very moment. */
function forgetAll(cache: QueryClient): void {
  cache.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== keys.ways[0] });
  cache.getMutationCache().clear();
}

function Views() {
  return (
    <Suspense fallback={<Loading />}>
      <Switch>
        <Route path="/" component={FleetPage} />
        <Route path="/vm/:id">{({ id }) => <VmPage id={id} />}</Route>
        <Route path="/system" component={SystemPage} />
        <Route path="/settings" component={SettingsPage} />
        <Route path="/audit" component={AuditPage} />
        <Route>
          <Nothing title={en.failure.notFound} next="">
            <a className="text-accent underline" href="/">
              {en.vm.back}
            </a>
          </Nothing>
        </Route>
      </Switch>
    </Suspense>
  );
}
