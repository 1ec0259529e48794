/** The ways to the page: signing in, signing in again over what one was doing, and waiting. */
import { Dialog } from 'radix-ui';
import { type ReactNode, useEffect } from 'react';
import { en } from '@/text/en';
import { Banner } from '@/ui/banner';
import { Button } from '@/ui/button';
import { onSignedInElsewhere } from './other_tabs';
import { session } from './session';
import { SignInForm } from './sign_in_form';

const AGAIN_MS = 3000;

/** In the place of the view, so that the address is kept. */
export function SignIn() {
  return (
    <Alone>
      <SignInForm />
    </Alone>
  );
}

/** The API does not say who this is, as it says nothing: asked again until it does. */
export function Unreachable() {
  useEffect(() => {
    const timer = setInterval(() => void session.ask(), AGAIN_MS);
    return () => clearInterval(timer);
  }, []);
  return (
    <Alone>
      <Banner weight="danger">{en.failure.unreachable}</Banner>
    </Alone>
  );
}

/** Over the page, which stays as it was: what one had typed and chosen is there afterwards. */
export function SignInAgain() {
  useEffect(() => {
    // Another tab may have signed in meanwhile, or be about to.
    const seen = () => document.visibilityState === 'visible' && void session.ask();
    const stop = onSignedInElsewhere(() => void session.ask());
    document.addEventListener('visibilitychange', seen);
    return () => {
      stop();
      document.removeEventListener('visibilitychange', seen);
    };
  }, []);
  return (
    <Dialog.Root open>
      <Dialog.Portal>
        <Dialog.Overlay className="fixed inset-0 z-50 bg-black/60" />
        <Dialog.Content
          aria-describedby={undefined}
          onEscapeKeyDown={(event) => event.preventDefault()}
          onInteractOutside={(event) => event.preventDefault()}
          className="panel fixed top-1/2 left-1/2 z-50 flex w-[min(440px,calc(100vw-2rem))] -translate-x-1/2 -translate-y-1/2 flex-col gap-4 p-5 shadow-2xl focus:outline-none"
        >
          <Dialog.Title className="text-base font-semibold">{en.signIn.again}</Dialog.Title>
          <Banner weight="warning">{en.signIn.expired}</Banner>
          <SignInForm beside />
          <Button weight="quiet" className="self-start" onClick={() => session.leave()}>
            {en.signIn.leave}
          </Button>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function Alone({ children }: { children: ReactNode }) {
  return (
    <main className="mx-auto flex min-h-dvh max-w-md flex-col justify-center gap-4 px-4 pb-24">
      <div className="flex items-center gap-3">
        <img src="/favicon.svg" alt="" width="36" height="36" />
        <h1 className="text-xl font-semibold tracking-tight">{en.signIn.title}</h1>
      </div>
      {children}
    </main>
  );
}
