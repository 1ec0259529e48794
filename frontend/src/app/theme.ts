/** Which colours come next when one asks for the others. */
import { type Preferences, preferences } from '@/ui/preferences';

export function isDark(): boolean {
  const { theme } = preferences();
  return theme === 'system' ? matchMedia('(prefers-color-scheme: dark)').matches : theme === 'dark';
}

export function nextTheme(): Preferences['theme'] {
  return isDark() ? 'light' : 'dark';
}
