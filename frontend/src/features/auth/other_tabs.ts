/** The tabs of a browser share its session: one that signs in tells those that wait for it. */

const CHANNEL = 'defib.session';

export function tellOtherTabs(): void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage('signedIn');
  channel.close();
}

/** Calls `found` for each tab that signs in, until the returned function is called. */
export function onSignedInElsewhere(found: () => void): () => void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = found;
  return () => channel.close();
}
