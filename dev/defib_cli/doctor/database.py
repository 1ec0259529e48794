"""PostgreSQL, and what our processes have written there: who stores, who leads, who may enter."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from defib_cli.doctor.finding import Finding, Part
from defib_core.store import checkup, failures, fitness, migrate, overview
from defib_core.store.checkup import Ahead, Server, Tokens
from defib_core.store.clock import database_now
from defib_core.store.engine import make_engine
from defib_core.store.overview import IngestView, OperatorView

DATABASE, INGEST, OPERATOR, TOKENS = (
    Part("postgresql"),
    Part("ingest"),
    Part("operator"),
    Part("tokens"),
)
OLDEST_VERSION = 150000
CLOCKS_APART = timedelta(seconds=5)
ANNOTATIONS_EXPIRE = timedelta(minutes=5)
SWEEP_LATE = timedelta(minutes=2)
CROWDED = 0.8
WELL_KNOWN = ("vm-api-key-123", "changeme", "change-me", "secret", "password", "admin", "defib")
"""Secrets out of documentation and habit."""


async def examine(url: str, namespace: str) -> list[Finding]:
    """Look at the database; an unreachable one is one finding."""
    engine = make_engine(url, application="defib-doctor", pool_size=1)
    try:
        async with engine.connect() as connection:
            before = datetime.now(UTC)
            server = await checkup.server(connection)
            ours = before + (datetime.now(UTC) - before) / 2
            found = [*_of_server(server, ours), await _of_pooling(url)]
            revision = await checkup.revision(connection)
            found.append(_of_revision(revision, migrate.head()))
            if revision is None or revision < migrate.head():
                return found
            now = await database_now(connection)
            found += [_of_partitions(one, now) for one in await checkup.ahead(connection)]
            digests = [hashlib.sha256(word.encode()).digest() for word in WELL_KNOWN]
            found += _of_tokens(await checkup.tokens(connection, digests))
            if not await checkup.has_defaults(connection, namespace):
                return [*found, _wrong_namespace(namespace)]
            seen = await overview.overview(connection, namespace, now)
            found += [_of_ingest(seen.ingest), *_of_operator(seen.operator, now)]
            return found
    except (*failures.DATABASE_ERRORS, OSError, TimeoutError) as error:
        return [
            DATABASE.fail(
                "reachable",
                failures.explain(error),
                "check host, port, user and password in DEFIB_DATABASE_URL, and that the server"
                " lets this machine in (pg_hba.conf, NetworkPolicy, TLS)",
            )
        ]
    finally:
        await engine.dispose()


def _of_server(server: Server, ours: datetime) -> list[Finding]:
    return [
        DATABASE.ok("reachable", f"PostgreSQL {server.version} answers"),
        _of_version(server),
        _of_writing(server),
        _of_durability(server),
        _of_clock(server.now, ours),
        _of_connections(server),
        DATABASE.ok(
            "size",
            f"the database takes {server.database_bytes / 2**20:,.0f} MiB;"
            " how much room its disk has left cannot be asked from here",
        ),
    ]


async def _of_pooling(url: str) -> Finding:
    try:
        await asyncio.to_thread(fitness.check_own, url)
    except fitness.UnfitDatabase as error:
        advice = "set pool_mode=session for Defib's database, or go around the pooler"
        return DATABASE.fail("sessions", failures.explain(error), advice)
    return DATABASE.ok("sessions", "each connection is a session of its own")


def _of_version(server: Server) -> Finding:
    if server.version_number >= OLDEST_VERSION:
        return DATABASE.ok("version", f"{server.version} is new enough")
    return DATABASE.fail(
        "version", f"{server.version} is older than 15", "move to PostgreSQL 15 or newer"
    )


def _of_writing(server: Server) -> Finding:
    if not server.read_only:
        return DATABASE.ok("writable", "it is a primary")
    return DATABASE.fail(
        "writable",
        "the server is read-only: a standby, or default_transaction_read_only",
        "let DEFIB_DATABASE_URL lead to the primary (target_session_attrs=read-write)",
    )


def _of_durability(server: Server) -> Finding:
    if not server.fsync or not server.full_page_writes:
        return DATABASE.fail(
            "fsync",
            "fsync or full_page_writes is off: a crash may ruin the database,"
            " and with it what was already sent to Proxmox",
            "switch both on",
        )
    if server.synchronous_commit == "off":
        return DATABASE.warn(
            "fsync",
            "synchronous_commit is off: a crash may lose acknowledged reports and intents",
            "set synchronous_commit to on for Defib's database",
        )
    return DATABASE.ok("fsync", "what is committed stays")


def _of_clock(theirs: datetime, ours: datetime) -> Finding:
    apart = abs(theirs - ours)
    text = f"its clock and this machine's are {apart.total_seconds():.1f} s apart"
    if apart <= CLOCKS_APART:
        return DATABASE.ok("clock", text)
    advice = "set both by NTP. Defib goes by the database's clock"
    if apart < ANNOTATIONS_EXPIRE:
        return DATABASE.warn("clock", text, advice)
    return DATABASE.fail("clock", f"{text}: resets by annotation will be ignored", advice)


def _of_connections(server: Server) -> Finding:
    text = f"{server.connections} of {server.most_connections} connections are in use"
    if server.connections < CROWDED * server.most_connections:
        return DATABASE.ok("connections", text)
    return DATABASE.warn(
        "connections", text, "raise max_connections, or run fewer API replicas (11 each)"
    )


def _of_revision(found: str | None, wanted: str) -> Finding:
    if found == wanted:
        return DATABASE.ok("migrations", f"the schema is at {found}")
    if found is None:
        return DATABASE.fail("migrations", "there is no schema", "run `defib db upgrade`")
    if found < wanted:
        return DATABASE.fail(
            "migrations",
            f"the schema is at {found}, and this version needs {wanted}",
            "run `defib db upgrade`; old replicas go on meanwhile",
        )
    return DATABASE.warn(
        "migrations",
        f"the schema is at {found}; this version ends at {wanted}, so a later one was here",
        "fine while you roll back; else use the later version",
    )


def _of_partitions(one: Ahead, now: datetime) -> Finding:
    check = f"partitions of {one.table}"
    advice = "an API replica makes them every few minutes: is one running? See its log for setup"
    if one.made_until is None or one.made_until <= now + one.width:
        until = "none" if one.made_until is None else f"until {_at(one.made_until)}"
        return DATABASE.fail(check, f"the next one is missing: {until}", advice)
    if one.rows_without_one:
        return DATABASE.warn(check, "rows lie in the default partition", advice)
    return DATABASE.ok(check, f"made until {_at(one.made_until)}")


def _of_tokens(tokens: Tokens) -> list[Finding]:
    found = [
        TOKENS.fail(
            "well-known secrets",
            f"the token {name} has a secret that anybody may guess",
            "revoke it, and make one with `defib token create`",
        )
        for name in tokens.well_known
    ]
    if tokens.administrators == 0:
        advice = "defib token create --kind admin --name YOU"
        found.append(TOKENS.warn("administrators", "nobody has an administrator's token", advice))
    else:
        found.append(TOKENS.ok("administrators", f"{tokens.administrators} tokens"))
    agents = tokens.shared_agent_keys + tokens.agent_tokens
    if agents == 0:
        advice = "let machines in with `defib enrolment create`"
        found.append(TOKENS.warn("agents", "no agent can report: there is no token", advice))
    else:
        text = f"{tokens.agent_tokens} of single VMs, {tokens.shared_agent_keys} shared keys"
        found.append(TOKENS.ok("agents", text))
    return [*found, _of_identity(tokens.known_by_name)]


def _of_identity(known_by_name: int) -> Finding:
    if known_by_name == 0:
        return TOKENS.ok("identity", "every VM that reports has a token or an SMBIOS UUID")
    who = "1 VM reports" if known_by_name == 1 else f"{known_by_name} VMs report"
    return TOKENS.warn(
        "identity",
        f"{who} under a shared key, without an SMBIOS UUID that is compared"
        " with Proxmox's: another machine of that name could arm them",
        "give each a token of its own (`defib enrolment create`), then switch the shared keys off",
    )


def _wrong_namespace(namespace: str) -> Finding:
    return DATABASE.fail(
        "namespace",
        f"nothing was set up here for the namespace {namespace}",
        "set DEFIB_NAMESPACE as the other processes have it, or run `defib db upgrade` with it",
    )


def _of_ingest(seen: IngestView) -> Finding:
    live = [one.name for one in seen.replicas if one.live]
    if live:
        return INGEST.ok("live", f"{len(live)} API replicas prove that they store reports")
    since = "ever" if not seen.replicas else f"since {_at(seen.blind_since)}"
    return INGEST.fail(
        "live",
        f"no API replica has stored anything {since}: nothing goes down, nothing is reset",
        "start an API replica, and look at its /readyz",
    )


@dataclass(frozen=True, slots=True)
class _Heard:
    at: datetime | None
    what: str
    check: str
    advice: str


def _of_operator(seen: OperatorView, now: datetime) -> Sequence[Finding]:
    if seen.leader is None:
        advice = "start an operator, and look at its log: loop_failed, lease"
        return [OPERATOR.fail("leader", "nobody leads: nothing is swept or reset", advice)]
    heard = (
        _Heard(seen.swept_at, "the last sweep ended", "sweep", "look at the operator's log"),
        _Heard(
            seen.kubernetes_heard_at,
            "the operator last heard the Kubernetes API",
            "kubernetes heard",
            "see kubernetes below, and listing_failed in the operator's log",
        ),
    )
    return [OPERATOR.ok("leader", f"{seen.leader} leads"), *(_lateness(one, now) for one in heard)]


def _lateness(one: _Heard, now: datetime) -> Finding:
    if one.at is None:
        return OPERATOR.warn(one.check, f"{one.what} never", one.advice)
    text = f"{one.what} at {_at(one.at)}"
    if now - one.at > SWEEP_LATE:
        return OPERATOR.fail(one.check, text, one.advice)
    return OPERATOR.ok(one.check, text)


def _at(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
