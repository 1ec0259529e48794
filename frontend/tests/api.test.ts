import { afterEach, describe, expect, test, vi } from 'vitest';
import { client, said, signedFetch } from '@/api/client';
import { browserAheadMs, forgetServerDate, noteServerDate, serverNow } from '@/api/clock';
import { Failure, failureOf } from '@/api/failure';
import { session } from '@/features/auth/session';

afterEach(() => {
  forgetServerDate();
  session.end();
});

const address = 'http://localhost/api/status';

describe('a request', () => {
  test('carries the token and says that it is the dashboard', async () => {
    const asked = vi.fn(async (_: Request) => new Response('{}'));
    vi.stubGlobal('fetch', asked);
    session.begin('a-token');
    await signedFetch(address);
    const headers = asked.mock.calls[0]?.[0].headers;
    expect(headers?.get('Authorization')).toBe('Bearer a-token');
    expect(headers?.get('X-Defib-Client')).toBe('dashboard');
  });

  test('that is answered 401 ends the session, once', async () => {
    vi.stubGlobal('fetch', async () => new Response('{}', { status: 401 }));
    session.begin('revoked');
    await signedFetch(address);
    expect(session.state()).toBe('expired');
    expect(session.headers()).toEqual([]);
    expect(sessionStorage.length).toBe(0);
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
