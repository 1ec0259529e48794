/** The page as a whole: who is signed in decides between the sign-in form and the views. */
import { QueryClientProvider } from '@tanstack/react-query';
import { lazy, Suspense, useEffect, useState } from 'react';
import { Route, Switch } from 'wouter';
import { SignIn } from '@/features/auth/sign_in';
import { useSession } from '@/features/auth/use_session';
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
  useEffect(() => {
    // Nothing of one session may be seen by the next.
    if (state === 'signedOut') cache.clear();
  }, [cache, state]);
  return (
    <CrashGuard>
      <QueryClientProvider client={cache}>
        {state === 'signedIn' ? (
          <Live>
            <Shell>
              <Views />
            </Shell>
          </Live>
        ) : (
          <SignIn expired={state === 'expired'} />
        )}
      </QueryClientProvider>
    </CrashGuard>
  );
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
