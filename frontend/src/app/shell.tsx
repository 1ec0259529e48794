/** What is around every view: the header, the bands of alarm, the keys. */
import { type ReactNode, useState } from 'react';
import { useLocation } from 'wouter';
import { en } from '@/text/en';
import { prefer, preferences } from '@/ui/preferences';
import { useShortcuts } from '@/ui/shortcuts';
import { Alarms } from './alarms';
import { Header } from './header';
import { KeyboardHelp } from './keyboard_help';
import { nextTheme } from './theme';

export function Shell({ children }: { children: ReactNode }) {
  const [, navigate] = useLocation();
  const [helping, setHelping] = useState(false);
  useShortcuts({
    '?': () => setHelping(true),
    'g f': () => navigate('/'),
    'g s': () => navigate('/system'),
    'g c': () => navigate('/settings'),
    'g a': () => navigate('/audit'),
    d: () => prefer({ theme: nextTheme() }),
    u: () => prefer({ zone: preferences().zone === 'utc' ? 'local' : 'utc' }),
  });
  return (
    <>
      <a
        href="#content"
        className="sr-only z-50 rounded-md bg-accent px-3 py-2 text-on-accent focus:not-sr-only focus:fixed focus:top-2 focus:left-2"
      >
        {en.skip}
      </a>
      <Header onHelp={() => setHelping(true)} />
      <Alarms />
      <main
        id="content"
        tabIndex={-1}
        className="mx-auto max-w-[1600px] px-3 py-4 outline-none sm:px-5"
      >
        {children}
      </main>
      {helping && <KeyboardHelp onClose={() => setHelping(false)} />}
    </>
  );
}
