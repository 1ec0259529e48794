/** What is in force, where it comes from and how it is changed; stops, windows and keys. */
import { GlobalStop } from '@/features/actions/global_stop';
import { Maintenance } from '@/features/actions/maintenance';
import { enSettings } from '@/text/en_actions';
import { Configs } from './configs';
import { Notifications } from './notifications';
import { Tokens } from './tokens';

export function SettingsPage() {
  return (
    <div className="flex flex-col gap-4">
      <h1 className="text-lg font-semibold">{enSettings.title}</h1>
      <GlobalStop />
      <Maintenance />
      <Configs />
      <Notifications />
      <Tokens />
    </div>
  );
}
