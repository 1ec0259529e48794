/** Ask the API whether it knows a token, before a session begins with it. */
import { Failure, failureOf } from '@/api/failure';

/** Resolves when the token is good; else raises the `Failure` to show. */
export async function checkToken(token: string): Promise<void> {
  const response = await ask(token);
  if (response.ok) return;
  const body: unknown = await response.json().catch(() => null);
  throw failureOf(response, body);
}

async function ask(token: string): Promise<Response> {
  try {
    return await fetch('/api/status', {
      headers: { Authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(10_000),
    });
  } catch (error) {
    const slow = error instanceof Error && error.name === 'TimeoutError';
    throw new Failure(slow ? 'slow' : 'unreachable', 'the API cannot be reached');
  }
}
