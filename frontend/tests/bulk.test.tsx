import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { render, screen } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Vm } from '@/api/types';
import { fewAtATime } from '@/features/actions/at_once';
import { BulkBar, MOST_CHOSEN } from '@/features/actions/bulk_bar';
import { session } from '@/features/auth/session';

beforeEach(() =>
  session.begin({
    name: 'kim',
    role: 'operator',
    via: 'session',
    csrfToken: 'proof',
    expiresAt: null,
  }),
);
afterEach(() => session.leave());

const vmsOf = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ id: `vm_${n}`, hostname: `web-${n}` }) as Vm);

function show(count: number) {
  const sent = vi.fn(async (_: Request) => new Response('{"success":true,"message":"sent"}'));
  vi.stubGlobal('fetch', sent);
  render(
    <QueryClientProvider client={new QueryClient()}>
      <BulkBar vms={vmsOf(count)} onNone={() => undefined} />
    </QueryClientProvider>,
  );
  return sent;
}

test('nothing is sent before the number is typed, and Cancel sends nothing', async () => {
  const sent = show(3);
  await userEvent.click(screen.getByRole('button', { name: 'Reset 3 VMs …' }));
  await userEvent.type(screen.getByLabelText('Why'), 'switch replaced');
  await userEvent.click(screen.getByRole('button', { name: 'Reset 3 VMs' }));
  expect(screen.getByText(/Type the number 3/)).toBeTruthy();
  await userEvent.click(screen.getAllByRole('button', { name: 'Cancel' })[0] as HTMLElement);
  expect(screen.queryByRole('dialog')).toBeNull();
  expect(sent).not.toHaveBeenCalled();
});

test('each of the chosen is asked for once, with the reason', async () => {
  const sent = show(3);
  await userEvent.click(screen.getByRole('button', { name: 'Reset 3 VMs …' }));
  await userEvent.type(screen.getByLabelText('Why'), 'switch replaced');
  await userEvent.type(screen.getByLabelText('Type 3 to confirm'), '3{Enter}');
  await screen.findByRole('button', { name: 'Done' });
  const paths = sent.mock.calls.map(([request]) => new URL(request.url).pathname);
  expect(paths.sort()).toEqual([0, 1, 2].map((n) => `/api/vms/vm_${n}/reset`));
});

test('more than the most cannot be reset at once', () => {
  show(MOST_CHOSEN + 1);
  const button = screen.getByRole<HTMLButtonElement>('button', { name: /^Reset 21 VMs/ });
  expect(button.disabled).toBe(true);
});

test('few are worked on at a time, and a stop begins no more', async () => {
  let now = 0;
  let most = 0;
  const done: number[] = [];
  const skipped: number[] = [];
  const run = fewAtATime(
    [1, 2, 3, 4, 5, 6],
    2,
    async (one) => {
      most = Math.max(most, ++now);
      await Promise.resolve();
      now -= 1;
      done.push(one);
      if (one === 3) run.stop();
    },
    (one) => skipped.push(one),
  );
  await run.ended;
  expect(most).toBe(2);
  expect([...done, ...skipped].sort()).toEqual([1, 2, 3, 4, 5, 6]);
  expect(skipped.length).toBeGreaterThan(0);
});
