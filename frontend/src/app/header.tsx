/** The header: where one is, how fresh it is, and what one likes. */
import clsx from 'clsx';
import { CircleHelp, Clock, LogOut, Moon, Sun } from 'lucide-react';
import { useState } from 'react';
import { Link, useLocation } from 'wouter';
import { session } from '@/features/auth/session';
import { useMe } from '@/features/auth/who';
import { en } from '@/text/en';
import { IconButton } from '@/ui/button';
import { prefer, usePreferences } from '@/ui/preferences';
import { LiveMark } from './live_mark';
import { isDark, nextTheme } from './theme';

const VIEWS = [
  { path: '/', name: en.nav.fleet },
  { path: '/system', name: en.nav.system },
  { path: '/settings', name: en.nav.settings },
  { path: '/audit', name: en.nav.audit },
] as const;

export function Header({ onHelp }: { onHelp: () => void }) {
  return (
    <header className="sticky top-0 z-30 border-b border-line bg-surface">
      <div className="mx-auto flex h-12 max-w-[1600px] items-center gap-1 px-3 sm:gap-3 sm:px-5">
        <Link href="/" className="flex items-center gap-2 font-semibold tracking-tight">
          <img src="/favicon.svg" alt="" width="22" height="22" />
          <span className="hidden sm:inline">{en.product}</span>
        </Link>
        <Navigation />
        <span className="flex-1" />
        <LiveMark />
        <ZoneSwitch />
        <ThemeSwitch />
        <span className="hidden sm:contents">
          <IconButton label={en.help.open} onClick={onHelp}>
            <CircleHelp size={17} />
          </IconButton>
        </span>
        <Person />
      </div>
    </header>
  );
}

/** Who one is here, and the way out; who came through a proxy is signed out there. */
function Person() {
  const me = useMe();
  const [failed, setFailed] = useState(false);
  const leave = () => session.end().catch(() => setFailed(true));
  return (
    <>
      {me !== null && (
        <span className="hidden max-w-40 truncate text-xs text-soft lg:inline" title={me.name}>
          {me.name} · {en.role.names[me.role]}
        </span>
      )}
      {failed && (
        <span role="alert" className="text-xs font-medium text-down">
          {en.signIn.notOut}
        </span>
      )}
      {me?.via !== 'proxy' && (
        <IconButton label={en.signIn.out} onClick={() => void leave()}>
          <LogOut size={17} />
        </IconButton>
      )}
    </>
  );
}

function Navigation() {
  const [path] = useLocation();
  return (
    <nav aria-label={en.nav.main} className="flex min-w-0 overflow-x-auto">
      {VIEWS.map((view) => {
        const here =
          view.path === '/' ? path === '/' || path.startsWith('/vm/') : path === view.path;
        return (
          <Link
            key={view.path}
            href={view.path}
            aria-current={here ? 'page' : undefined}
            className={clsx(
              'flex h-12 items-center border-b-2 px-2 font-medium sm:px-3',
              here ? 'border-accent text-text' : 'border-transparent text-soft hover:text-text',
            )}
          >
            {view.name}
          </Link>
        );
      })}
    </nav>
  );
}

function ZoneSwitch() {
  const { zone } = usePreferences();
  return (
    <button
      type="button"
      title={en.time.zoneTitle}
      onClick={() => prefer({ zone: zone === 'utc' ? 'local' : 'utc' })}
      className="hidden h-8 items-center gap-1 rounded-md px-2 text-xs font-medium text-soft hover:bg-raised hover:text-text sm:flex"
    >
      <Clock size={14} aria-hidden="true" />
      {zone === 'utc' ? en.time.utc : en.time.local}
    </button>
  );
}

function ThemeSwitch() {
  usePreferences();
  return (
    <IconButton
      label={isDark() ? en.theme.light : en.theme.dark}
      onClick={() => prefer({ theme: nextTheme() })}
    >
      {isDark() ? <Sun size={17} /> : <Moon size={17} />}
    </IconButton>
  );
}
