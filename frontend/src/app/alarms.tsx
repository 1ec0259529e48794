/**
 * The bands on top of every view: what makes the rest of the page less true, or what keeps Defib
 * from acting. Nothing is shown while all is well.
 */
import { useQuery } from '@tanstack/react-query';
import { useEffect } from 'react';
import { Link } from 'wouter';
import { serverNow } from '@/api/clock';
import { keys } from '@/api/keys';
import { readSystem } from '@/api/reads';
import { relaysOf, type System } from '@/api/types';
import { isLate } from '@/live/freshness';
import { type LiveView, useLive } from '@/live/live';
import { en } from '@/text/en';
import { Banner } from '@/ui/banner';
import { useLasting } from '@/ui/lasting';
import { durationText } from '@/ui/time';
import { failureText } from '@/ui/trouble';
import { vouch } from '@/ui/trust';
import { REFRESH_MS } from './query_client';

/** A sweep is due every ten seconds; this long without one is no accident. */
const SWEEP_LATE_SECONDS = 60;
/** A page that wakes up is old for a moment; that is no news. */
const LATE_FOR_MS = 3000;

export function Alarms() {
  const live = useLive();
  const system = useQuery({
    queryKey: keys.system,
    queryFn: readSystem,
    refetchInterval: REFRESH_MS,
  });
  const late = useLasting(isLate(live.freshness), LATE_FOR_MS);
  const good = !late && !live.waking && (system.data === undefined || judges(system.data));
  useEffect(() => vouch(good), [good]);
  return (
    <div
      className="sticky top-12 z-20 divide-y divide-line border-line not-empty:border-b"
      aria-live="polite"
    >
      {late && <LateBanner live={live} />}
      {system.data && <SystemAlarms system={system.data} />}
    </div>
  );
}

function LateBanner({ live: { freshness, ageSeconds, failing } }: { live: LiveView }) {
  const age = durationText(ageSeconds);
  if (freshness === 'offline') return <Banner weight="danger">{en.live.offlineBanner(age)}</Banner>;
  if (failing === null) return <Banner weight="warning">{en.live.staleBanner(age)}</Banner>;
  return (
    <Banner weight="warning">
      {en.live.failingBanner(age)}{' '}
      <span className="font-normal text-soft">{failureText(failing.error)}</span>
    </Banner>
  );
}

/** Whether a VM that falls silent would be found: reports are stored, and somebody looks. */
export function judges({ ingest, operator: { sweepAgeSeconds } }: System): boolean {
  return ingest.live && sweepAgeSeconds !== null && sweepAgeSeconds < SWEEP_LATE_SECONDS;
}

function SystemAlarms({ system }: { system: System }) {
  return (
    <>
      {!system.ingest.live && <Banner weight="danger">{blindText(system)}</Banner>}
      <SweepAlarm system={system} />
      <RelayAlarms system={system} />
      {system.globalStop && (
        <Banner weight="warning" action={<More />}>
          {en.system.globalStopBanner(system.globalStop.startedBy, system.globalStop.reason)}
        </Banner>
      )}
      {system.brakes.slice(0, 2).map((brake) => (
        <Banner key={`${brake.reason} ${brake.scope}`} weight="warning" action={<More />}>
          {en.system.brakeBanner(brake.reason, brake.scope)}
          <span className="font-normal text-soft">: {brake.message}</span>
        </Banner>
      ))}
    </>
  );
}

function SweepAlarm({ system }: { system: System }) {
  const { lastSweep, sweepAgeSeconds } = system.operator;
  if (lastSweep === null) return <Banner weight="danger">{en.system.noSweepBanner}</Banner>;
  if (sweepAgeSeconds === null || sweepAgeSeconds < SWEEP_LATE_SECONDS) return null;
  return <Banner weight="danger">{en.system.sweepBanner(durationText(sweepAgeSeconds))}</Banner>;
}

/** One that was never heard is being set up. */
function RelayAlarms({ system }: { system: System }) {
  return relaysOf(system).map(
    ({ name, live, provedAt }) =>
      !live &&
      provedAt !== null && (
        <Banner key={name} weight="warning" action={<More />}>
          {en.system.relayBanner(name, durationText((serverNow() - Date.parse(provedAt)) / 1000))}
        </Banner>
      ),
  );
}

function blindText(system: System): string {
  const { blindSince } = system.ingest;
  if (blindSince === null) return en.system.blindBannerNoAge;
  return en.system.blindBanner(durationText((serverNow() - Date.parse(blindSince)) / 1000));
}

function More() {
  return (
    <Link
      href="/system"
      className="shrink-0 text-sm font-medium text-accent underline-offset-2 hover:underline"
    >
      {en.system.more}
    </Link>
  );
}
