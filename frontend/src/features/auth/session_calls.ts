/**
 * What the sign-in asks of the API: who one is, a session for a token, its end, the ways in.
 *
 * Apart from `api/client.ts`, which signs what it sends by the session that begins here.
 */
import { Failure, failureOf } from '@/api/failure';
import type { Me, SignInWays } from '@/api/types';

/** What an API of the version before, which does not know the question, would say. */
const TOKENS_ONLY: SignInWays = { token: true, oidc: null, proxy: false };

export const askMe = () => json<Me>('/api/me');

/** Exchange a token for the cookie. The token goes nowhere else. */
export const beginSession = (token: string) =>
  json<Me>('/api/session', { method: 'POST', headers: { Authorization: `Bearer ${token}` } });

export async function endSession(proof: [string, string][]): Promise<void> {
  await json('/api/session', { method: 'DELETE', headers: proof });
}

export async function askWays(): Promise<SignInWays> {
  try {
    return await json<SignInWays>('/api/sign-in');
  } catch (error) {
    if (error instanceof Failure && error.kind === 'notFound') return TOKENS_ONLY;
    throw error;
  }
}

async function json<Answer>(path: string, init: RequestInit = {}): Promise<Answer> {
  const response = await ask(path, init);
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) throw failureOf(response, body);
  if (body === null) throw new Failure('garbled', 'the answer of the API was cut off');
  return body as Answer;
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('X-Defib-Client', 'dashboard');
  try {
    return await fetch(path, { ...init, headers, signal: AbortSignal.timeout(10_000) });
  } catch (error) {
    const slow = error instanceof Error && error.name === 'TimeoutError';
    throw new Failure(slow ? 'slow' : 'unreachable', 'the API cannot be reached');
  }
}
