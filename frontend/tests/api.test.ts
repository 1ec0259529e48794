import { afterEach, describe, expect, test, vi } from 'vitest';
import { client, said, signedFetch } from '@/api/client';
import { browserAheadMs, forgetServerDate, noteServerDate, serverNow } from '@/api/clock';
import { Failure, failureOf } from '@/api/failure';
import type { Me } from '@/api/types';
import { session } from '@/features/auth/session';

afterEach(() => {
  forgetServerDate();
  session.leave();
});

const KIM: Me = {
  name: 'kim',
  role: 'operator',
  via: 'session',
  csrfToken: 'proof',
  expiresAt: null,
};

const address = 'http://localhost/api/status';

describe('a request', () => {
  test('that changes something carries the session’s proof; one that reads does not', async () => {
    const asked = vi.fn(async (_: Request) => new Response('{}'));
    vi.stubGlobal('fetch', asked);
    session.begin(KIM);
    await signedFetch(address);
    await signedFetch(new Request(address, { method: 'PUT', body: '{}' }));
    const [read, change] = asked.mock.calls.map(([request]) => request.headers);
    expect(read?.get('X-Defib-Client')).toBe('dashboard');
    expect(read?.get('X-CSRF-Token')).toBeNull();
    expect(change?.get('X-CSRF-Token')).toBe('proof');
  });

  test('that is answered 401 ends the session, and no more are sent until one is back', async () => {
    const asked = vi.fn(async () => new Response('{}', { status: 401 }));
    vi.stubGlobal('fetch', asked);
    session.begin(KIM);
    await signedFetch(address);
    expect(session.state()).toBe('expired');
    await expect(signedFetch(address)).rejects.toMatchObject({ kind: 'signedOut' });
    expect(asked).toHaveBeenCalledTimes(1);
  });

  test('refused for an old proof is sent again with the new one, once', async () => {
    const proofs: (string | null)[] = [];
    vi.stubGlobal('fetch', async (request: Request | string) => {
      if (typeof request === 'string')
        return new Response(JSON.stringify({ ...KIM, csrfToken: 'newer' }));
      proofs.push(request.headers.get('X-CSRF-Token'));
      return new Response('{}', { status: 403 });
    });
    session.begin(KIM);
    const answer = await signedFetch(new Request(address, { method: 'PUT', body: '{}' }));
    expect(answer.status).toBe(403);
    expect(proofs).toEqual(['proof', 'newer']);
  });

  test('without an API says that it cannot be reached', async () => {
    vi.stubGlobal('fetch', async () => {
      throw new TypeError('Failed to fetch');
    });
    await expect(signedFetch(address)).rejects.toMatchObject({ kind: 'unreachable' });
  });

  test('that takes too long says so', async () => {
    vi.stubGlobal('fetch', async () => {
      throw new DOMException('too long', 'TimeoutError');
    });
    await expect(signedFetch(address)).rejects.toMatchObject({ kind: 'slow' });
  });

  test('that gets half an answer says so, and shows nothing of it', async () => {
    vi.stubGlobal('fetch', async () => new Response('{"vms": {"total": 1'));
    await expect(said(client.GET('/api/status'))).rejects.toMatchObject({ kind: 'garbled' });
  });

  test('that gets a proxy’s page is a failure too', async () => {
    vi.stubGlobal('fetch', async () => new Response('<html>Bad Gateway</html>', { status: 502 }));
    await expect(said(client.GET('/api/status'))).rejects.toMatchObject({ kind: 'broken' });
  });
});

describe('a failure', () => {
  test('keeps the hold’s code and Proxmox’s words', () => {
    const refused = failureOf(new Response(null, { status: 409 }), {
      success: false,
      message: 'it is locked',
      reason: 'VMLocked',
    });
    expect(refused).toBeInstanceOf(Failure);
    expect(refused).toMatchObject({ kind: 'refused', message: 'it is locked' });
    expect(refused.details.reason).toBe('VMLocked');
    const failed = failureOf(new Response(null, { status: 500 }), { proxmoxError: 'VM is locked' });
    expect(failed.details.proxmoxError).toBe('VM is locked');
  });
});

describe('the clock', () => {
  test('is the server’s, even where the browser’s is an hour off', () => {
    const anHourAgo = Date.now() - 3_600_000;
    noteServerDate(new Date(anHourAgo).toUTCString());
    expect(Math.abs(serverNow() - anHourAgo)).toBeLessThan(5000);
    expect(Math.round(browserAheadMs() / 60_000)).toBe(60);
  });

  test('is the browser’s until the server has spoken, and passes over nonsense', () => {
    noteServerDate('yesterday');
    noteServerDate(null);
    expect(Math.abs(browserAheadMs())).toBeLessThan(5000);
  });
});
