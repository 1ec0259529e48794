import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { render, screen } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, expect, test, vi } from 'vitest';
import type { Me } from '@/api/types';
import { App } from '@/app/app';
import { RoleButton } from '@/features/auth/role_button';
import { session } from '@/features/auth/session';
import { SignIn, SignInAgain } from '@/features/auth/sign_in';

afterEach(() => session.leave());

const KIM: Me = {
  name: 'kim',
  role: 'operator',
  via: 'session',
  csrfToken: 'proof',
  expiresAt: null,
};

type Answers = Record<string, { status?: number; body?: unknown }>;

/** An API that answers by method and path; whatever it is not told of is not there. */
function answering(answers: Answers) {
  const asked = vi.fn(async (path: string, init: RequestInit = {}) => {
    const { status = 200, body = {} } = answers[`${init.method ?? 'GET'} ${path}`] ?? {
      status: 404,
      body: { success: false, message: 'there is nothing here' },
    };
    return new Response(JSON.stringify(body), { status });
  });
  vi.stubGlobal('fetch', asked);
  return asked;
}

function show(what: React.ReactNode) {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  return render(<QueryClientProvider client={client}>{what}</QueryClientProvider>);
}

test('a good token is exchanged for a session, and kept nowhere', async () => {
  const asked = answering({ 'POST /api/session': { body: KIM }, 'GET /api/me': { body: KIM } });
  show(<SignIn />);
  await userEvent.type(screen.getByLabelText('Access token'), '  good {Enter}');
  await vi.waitFor(() => expect(session.state()).toBe('signedIn'));
  const [, init] = asked.mock.calls.find(([path]) => path === '/api/session') ?? [];
  expect(new Headers(init?.headers).get('Authorization')).toBe('Bearer good');
  expect(sessionStorage.length + localStorage.length).toBe(0);
  expect(session.headers('POST')).toEqual([['X-CSRF-Token', 'proof']]);
  expect(session.headers('GET')).toEqual([]);
});

test('a wrong token is refused in the API’s own words', async () => {
  const body = { success: false, message: 'the token is unknown' };
  answering({ 'POST /api/session': { status: 401, body } });
  show(<SignIn />);
  await userEvent.type(screen.getByLabelText('Access token'), 'bad{Enter}');
  expect((await screen.findByRole('alert')).textContent).toBe('The token is unknown.');
  expect(session.state()).toBe('signedOut');
});

test('a browser that keeps no cookie is told so, and does not look signed in', async () => {
  answering({ 'POST /api/session': { body: KIM }, 'GET /api/me': { status: 401 } });
  show(<SignIn />);
  await userEvent.type(screen.getByLabelText('Access token'), 'good{Enter}');
  expect((await screen.findByRole('alert')).textContent).toContain('cookie');
  expect(session.state()).toBe('signedOut');
});

test('what cannot be a token is never sent', async () => {
  const asked = answering({});
  show(<SignIn />);
  await userEvent.type(screen.getByLabelText('Access token'), 'tökén …{Enter}');
  expect((await screen.findByRole('alert')).textContent).toContain('token');
  expect(asked.mock.calls.map(([path]) => path)).not.toContain('/api/session');
});

test('who else vouches for people is offered, with the way back', async () => {
  const oidc = { label: 'Sign in with Example', url: '/api/oidc/login' };
  answering({ 'GET /api/sign-in': { body: { token: false, oidc, proxy: false } } });
  show(<SignIn />);
  const link = await screen.findByRole('link', { name: 'Sign in with Example' });
  expect(link.getAttribute('href')).toContain('/api/oidc/login?next=%2F');
  expect(screen.queryByLabelText('Access token')).toBeNull();
});

test('a session that is over says so, and stays with Escape', async () => {
  answering({});
  session.begin(KIM);
  session.refused();
  show(<SignInAgain />);
  await userEvent.keyboard('{Escape}');
  expect(screen.getByText(/Sign in again and go on where you were/)).toBeTruthy();
  expect(session.me()).toEqual(KIM);
});

test('one is signed out only when the API says so', async () => {
  session.begin(KIM);
  vi.stubGlobal('fetch', async () => {
    throw new TypeError('Failed to fetch');
  });
  await expect(session.end()).rejects.toMatchObject({ kind: 'unreachable' });
  expect(session.state()).toBe('signedIn');
  answering({ 'DELETE /api/session': { body: {} } });
  await session.end();
  expect(session.state()).toBe('signedOut');
});

test('what one may not do is shown with the role that it needs', () => {
  session.begin({ ...KIM, role: 'viewer' });
  show(<RoleButton needs="operator">Reset …</RoleButton>);
  const button = screen.getByRole<HTMLButtonElement>('button', { name: /needs operator/ });
  expect(button.disabled).toBe(true);
});

test('who else vouches for people is asked by the whole page too, which forgets all else', async () => {
  const oidc = { label: 'Sign in with Example', url: '/api/oidc/login' };
  answering({
    'GET /api/me': { status: 401, body: { success: false, message: 'sign in first' } },
    'GET /api/sign-in': { body: { token: true, oidc, proxy: false } },
  });
  render(<App />);
  const button = await screen.findByRole('link', { name: 'Sign in with Example' });
  expect(button.getAttribute('href')).toContain('/api/oidc/login?next=%2F');
  expect(button.getAttribute('target')).toBeNull();
});
