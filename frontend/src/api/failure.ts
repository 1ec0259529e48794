/** What can go wrong with a request, as one value that views can show and tests can match. */

export type FailureKind =
  | 'unreachable' // no answer at all: the API or the network is away
  | 'slow' // no answer in time
  | 'garbled' // half an answer, or something that is no JSON
  | 'signedOut' // 401: the session is over
  | 'forbidden' // 403
  | 'notFound' // 404
  | 'refused' // 4xx: what was asked cannot be done; the message says why
  | 'unavailable' // 503: the API is there, its database is not
  | 'broken'; // 5xx

export class Failure extends Error {
  override readonly name = 'Failure';

  constructor(
    readonly kind: FailureKind,
    message: string,
    readonly details: {
      status?: number;
      /** A hold's code, where the API refused because of one. */
      reason?: string;
      /** Proxmox's own words. */
      proxmoxError?: string;
      requestId?: string;
      fields?: { field: string; message: string }[];
      retryAfterSeconds?: number;
    } = {},
  ) {
    super(message);
  }
}

/** Whether asking the same again may help. */
export function isPassing(error: unknown): boolean {
  return (
    error instanceof Failure &&
    ['unreachable', 'slow', 'garbled', 'unavailable', 'broken'].includes(error.kind)
  );
}

/** A failure made from an answer that is not a success. `body` is whatever it said. */
export function failureOf(response: Response, body: unknown): Failure {
  const said = isRecord(body) ? body : {};
  const message =
    typeof said.message === 'string' ? said.message : `the API answered ${response.status}`;
  const retryAfter = Number(response.headers.get('Retry-After'));
  return new Failure(kindOf(response.status), message, {
    status: response.status,
    ...(typeof said.reason === 'string' && { reason: said.reason }),
    ...(typeof said.proxmoxError === 'string' && { proxmoxError: said.proxmoxError }),
    ...(typeof said.requestId === 'string' && { requestId: said.requestId }),
    ...(Array.isArray(said.errors) && { fields: said.errors }),
    ...(retryAfter > 0 && { retryAfterSeconds: retryAfter }),
  });
}

function kindOf(status: number): FailureKind {
  if (status === 401) return 'signedOut';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'notFound';
  if (status === 503) return 'unavailable';
  return status >= 500 ? 'broken' : 'refused';
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
