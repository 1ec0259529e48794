/** The configuration in force, and how to change it. */
import { en } from '@/text/en';
import { Nothing } from '@/ui/trouble';

export function SettingsPage() {
  return <Nothing title={en.settings.title} next={en.settings.soon} />;
}
