/** What a person likes, kept in this browser. Never what the fleet is: that lives in the address. */
import { useSyncExternalStore } from 'react';

export type Preferences = {
  theme: 'system' | 'dark' | 'light';
  zone: 'local' | 'utc';
  view: 'auto' | 'cards' | 'table' | 'map';
};

const PLACE = 'defib.preferences';
const USUAL: Preferences = { theme: 'system', zone: 'local', view: 'auto' };
const ALLOWED: { [Name in keyof Preferences]: readonly Preferences[Name][] } = {
  theme: ['system', 'dark', 'light'],
  zone: ['local', 'utc'],
  view: ['auto', 'cards', 'table', 'map'],
};

const listeners = new Set<() => void>();
let current = load();

export function preferences(): Preferences {
  return current;
}

export function prefer(change: Partial<Preferences>): void {
  current = { ...current, ...change };
  try {
    localStorage.setItem(PLACE, JSON.stringify(current));
  } catch {
    // Storage is switched off: the wish lasts as long as the page.
  }
  wear(current.theme);
  for (const listener of listeners) listener();
}

export function usePreferences(): Preferences {
  return useSyncExternalStore(subscribe, preferences);
}

/** Put the theme on the page; `system` leaves it to the style sheet. */
export function wear(theme: Preferences['theme']): void {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function load(): Preferences {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(PLACE) ?? '{}');
    return sane(typeof kept === 'object' && kept !== null ? kept : {});
  } catch {
    return USUAL;
  }
}

function sane(kept: object): Preferences {
  const choose = <Name extends keyof Preferences>(name: Name): Preferences[Name] => {
    const value = (kept as Partial<Preferences>)[name];
    return value !== undefined && ALLOWED[name].includes(value) ? value : USUAL[name];
  };
  return { theme: choose('theme'), zone: choose('zone'), view: choose('view') };
}
