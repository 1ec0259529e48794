/**
 * The only place that talks to the API: signs each request, bounds it in time, and turns whatever
 * goes wrong into a `Failure`. Views use the functions of `reads.ts` and `writes.ts`.
 */
import createClient from 'openapi-fetch';
import { session } from '@/features/auth/session';
import { noteServerDate } from './clock';
import { Failure, failureOf } from './failure';
import type { paths } from './schema';

/** A manual reset is answered after 4.5 s at the latest, any read far sooner. */
const PATIENCE_MS = 10_000;

type Options = {
  signal?: AbortSignal | null;
  patienceMs?: number | null;
  headers?: HeadersInit;
};

/** Fetch with the session's proof; raises `Failure` when there is no answer. */
export async function signedFetch(
  request: Request | string,
  options: Options = {},
): Promise<Response> {
  // A session that is over is not shown again and again: the API counts that as guessing.
  if (session.state() === 'expired') throw new Failure('signedOut', 'the session is over');
  const made = signed(new Request(request, options.headers ? { headers: options.headers } : {}));
  const spare = made.method === 'GET' ? null : made.clone();
  const response = await answered(made, options);
  // Another tab may have begun another session, which has another proof.
  if (response.status === 403 && spare !== null && (await session.renewed()))
    return answered(signed(spare), options);
  return response;
}

function signed(request: Request): Request {
  for (const [name, value] of session.headers(request.method)) request.headers.set(name, value);
  request.headers.set('X-Defib-Client', 'dashboard');
  return request;
}

async function answered(made: Request, options: Options): Promise<Response> {
  const bounds = [options.signal, made.signal, patience(options.patienceMs)].filter(
    (one) => one != null,
  );
  try {
    const response = await fetch(made, { signal: AbortSignal.any(bounds) });
    noteServerDate(response.headers.get('Date'));
    if (response.status === 401) session.refused();
    return response;
  } catch (error) {
    throw noAnswer(error);
  }
}

function patience(asked: number | null | undefined): AbortSignal | null {
  return asked === null ? null : AbortSignal.timeout(asked ?? PATIENCE_MS);
}

function noAnswer(error: unknown): unknown {
  const name = nameOf(error);
  if (name === 'AbortError') return error; // nobody waits for it any more
  if (name === 'TimeoutError')
    return new Failure('slow', 'the API did not answer within 10 seconds');
  return new Failure('unreachable', 'the API cannot be reached');
}

function nameOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'name' in error ? String(error.name) : '';
}

export const client = createClient<paths>({
  baseUrl: typeof location === 'undefined' ? 'http://localhost' : location.origin,
  fetch: (request) => signedFetch(request),
});

type Answer<Data> = { data?: Data; error?: unknown; response: Response };

/** What an answer says, or a `Failure`. */
export async function said<Data>(answering: Promise<Answer<Data>>): Promise<Data> {
  const answer = await answering.catch((error: unknown) => {
    throw cutOff(error);
  });
  if (answer.error !== undefined || !answer.response.ok)
    throw failureOf(answer.response, parsed(answer.error));
  return answer.data as Data;
}

/** A body that ended early, or is no JSON: a proxy's page, half an answer. */
function cutOff(error: unknown): unknown {
  if (error instanceof Failure || nameOf(error) === 'AbortError') return error;
  return new Failure('garbled', 'the answer of the API was cut off, or is not the API’s');
}

function parsed(error: unknown): unknown {
  if (typeof error !== 'string') return error;
  try {
    return JSON.parse(error);
  } catch {
    return null;
  }
}
