import { render, screen } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, expect, test, vi } from 'vitest';
import { session } from '@/features/auth/session';
import { SignIn } from '@/features/auth/sign_in';

afterEach(() => session.end());

test('a good token begins a session, kept for this tab only', async () => {
  vi.stubGlobal('fetch', async () => new Response('{}'));
  render(<SignIn expired={false} />);
  await userEvent.type(screen.getByLabelText('Administrator’s token'), '  good {Enter}');
  expect(session.state()).toBe('signedIn');
  expect(sessionStorage.getItem('defib.token')).toBe('good');
  expect(localStorage.length).toBe(0);
});

test('a wrong token is refused in the API’s own words', async () => {
  const body = JSON.stringify({ success: false, message: 'the token is unknown' });
  vi.stubGlobal('fetch', async () => new Response(body, { status: 401 }));
  render(<SignIn expired={false} />);
  await userEvent.type(screen.getByLabelText('Administrator’s token'), 'bad{Enter}');
  expect((await screen.findByRole('alert')).textContent).toBe('The token is unknown.');
  expect(session.state()).toBe('signedOut');
});

test('what cannot be a token is never sent', async () => {
  const asked = vi.fn();
  vi.stubGlobal('fetch', asked);
  render(<SignIn expired={false} />);
  await userEvent.type(screen.getByLabelText('Administrator’s token'), 'tökén …{Enter}');
  expect((await screen.findByRole('alert')).textContent).toContain('token');
  expect(asked).not.toHaveBeenCalled();
});

test('a session that is over says so', () => {
  render(<SignIn expired />);
  expect(screen.getByText(/Sign in again and you are back where you were/)).toBeTruthy();
});
