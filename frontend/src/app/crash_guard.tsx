/** When the page itself fails, it says so instead of turning white. */
import { Component, type ReactNode } from 'react';
import { en } from '@/text/en';
import { Button } from '@/ui/button';

export class CrashGuard extends Component<{ children: ReactNode }, { crashed: boolean }> {
  override state = { crashed: false };

  static getDerivedStateFromError() {
    return { crashed: true };
  }

  override render() {
    if (!this.state.crashed) return this.props.children;
    return (
      <div role="alert" className="mx-auto mt-24 flex max-w-md flex-col items-start gap-3 p-6">
        <h1 className="text-lg font-semibold">{en.product}</h1>
        <p>{en.failure.crashed}</p>
        <Button weight="strong" onClick={() => location.reload()}>
          {en.failure.reload}
        </Button>
      </div>
    );
  }
}
