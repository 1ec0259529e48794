/**
 * The one seam for who is signed in: a cookie that no script can read, and what the API says of it.
 *
 * Everything else asks `session` for the headers that prove a change to be the page's, and tells it
 * of a 401. Every way to sign in ends in the same cookie.
 */
import { Failure } from '@/api/failure';
import type { Me } from '@/api/types';
import { tellOtherTabs } from './other_tabs';
import { askMe, beginSession, endSession } from './session_calls';

export type SessionState = 'asking' | 'unreachable' | 'signedOut' | 'signedIn' | 'expired';

const READING = ['GET', 'HEAD'];

class Session {
  #state: SessionState = 'asking';
  #me: Me | null = null;
  #listeners = new Set<() => void>();

  state = (): SessionState => this.#state;

  /** Who is signed in; while a session is over, who was. */
  me = (): Me | null => this.#me;

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** What a request must carry beside the cookie. */
  headers(method: string): [string, string][] {
    const proof = this.#me?.csrfToken;
    return READING.includes(method) || proof == null ? [] : [['X-CSRF-Token', proof]];
  }

  /** Ask the API who this browser is: at the start, and where another tab may have changed that. */
  async ask(): Promise<void> {
    try {
      this.begin(await askMe());
    } catch (error) {
      if (isSignedOut(error)) this.#become(this.#me === null ? 'signedOut' : 'expired');
      else if (this.#state === 'asking' || this.#state === 'unreachable')
        this.#become('unreachable');
    }
  }

  /** Exchange a token for a session; raises the `Failure` to show. */
  async signIn(token: string): Promise<void> {
    await beginSession(token);
    // Asked again, by the cookie alone: a browser that refuses the cookie must not look signed in.
    const me = await askMe().catch((error: unknown) => {
      throw isSignedOut(error) ? new Failure('refused', NO_COOKIE) : error;
    });
    this.begin(me);
  }

  begin(me: Me): void {
    const again = this.#state !== 'signedIn';
    this.#me = me;
    this.#become('signedIn');
    if (again) tellOtherTabs();
  }

  /** Whether the API names another proof than the page had: a change may then be sent again. */
  async renewed(): Promise<boolean> {
    const before = this.#me?.csrfToken;
    await this.ask();
    return this.#state === 'signedIn' && this.#me?.csrfToken !== before;
  }

  /** Sign out on purpose; raises a `Failure` where the session goes on, as nobody could end it. */
  async end(): Promise<void> {
    try {
      await endSession(this.headers('DELETE'));
    } catch (error) {
      if (!isSignedOut(error)) throw error;
    }
    this.leave();
  }

  /** Forget who was signed in. */
  leave(): void {
    this.#me = null;
    this.#become('signedOut');
  }

  /** The API answered 401: the session is over. What is shown stays, until one is back. */
  refused(): void {
    if (this.#state === 'signedIn') this.#become('expired');
  }

  #become(state: SessionState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}

const NO_COOKIE =
  'The token is good, but this browser did not keep the session’s cookie. Open the page over HTTPS, or on the machine itself.';

function isSignedOut(error: unknown): boolean {
  return error instanceof Failure && error.kind === 'signedOut';
}

export const session = new Session();
