"""How Defib itself is, and what is in force."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from defib_api.schemas.base import ApiModel, Moment
from defib_api.schemas.probes import CheckStatus
from defib_core.domain.reasons import HoldReason, known_hold
from defib_core.store.overview import BrakeView, ConfigView, Overview


class Replica(ApiModel):
    """An API process."""

    name: str
    started_at: Moment
    proved_at: Moment = Field(description="When it last proved that it stores reports.")
    live: bool


class Ingest(ApiModel):
    """Whether reports are stored."""

    live: bool
    blind_since: Moment | None = Field(
        description="Since then nobody could store; silence says nothing about the VMs."
    )
    replicas: list[Replica]


class Relay(ApiModel):
    """A relay that may report."""

    name: str
    cluster: str
    proved_at: Moment | None = Field(description="null: it has not reported yet.")
    live: bool = Field(description="false: the VMs behind it are not judged by their silence.")
    waiting: int = Field(description="Reports on its disk, when it was last heard.")
    lost: int = Field(description="Reports that it had to drop.")
    version: str | None


class Operator(ApiModel):
    """The operator, as the database knows it."""

    leader: str | None = Field(description="null: nobody sweeps or resets.")
    last_sweep: Moment | None
    sweep_age_seconds: float | None
    kubernetes_heard_at: Moment | None
    statuses_waiting: int = Field(description="Statuses of resources that are still to be written.")


class ClusterNode(ApiModel):
    """A node, and whether Proxmox says that it is online."""

    name: str
    online: bool | None


class Cluster(ApiModel):
    """A Proxmox cluster, as it was last seen."""

    name: str
    namespace: str
    reachable: bool | None = Field(description="null: never looked at.")
    version: str | None
    quorate: bool | None
    message: str | None
    invalid: str | None = Field(description="What is wrong with its ProxmoxCluster's spec.")
    checked_at: Moment | None
    token_missing: list[str] = Field(description="Rights that the token lacks.")
    nodes: list[ClusterNode]


class HoldCount(ApiModel):
    """How many VMs are held for one reason now."""

    reason: HoldReason
    count: int
    alerting: int = Field(
        description="So many of them show signs of life for more than an hour and do not report:"
        " their agents are to be repaired."
    )


class BrakeKind(StrEnum):
    """What the VMs of a brake have in common."""

    FLEET = "fleet"
    CLUSTER = "cluster"
    DOMAIN = "domain"
    NODE = "node"


class Brake(ApiModel):
    """A brake in force."""

    reason: HoldReason
    kind: BrakeKind
    scope: str = Field(description="The SystemConfig, cluster, failure domain or node.")
    message: str
    since: Moment
    vms: int = Field(description="So many VMs it holds now.")

    @classmethod
    def from_view(cls, view: BrakeView) -> "Brake":
        """Show a brake."""
        return cls(
            reason=HoldReason(view.reason),
            kind=BrakeKind(view.kind),
            scope=view.scope or "",
            message=view.message,
            since=view.since,
            vms=view.vms,
        )


class Stop(ApiModel):
    """Everything is stopped."""

    reason: str
    started_by: str
    started_at: Moment
    system_config: str | None = Field(description="The SystemConfig that asks for it.")


class Intents(ApiModel):
    """Resets that are not finished."""

    requested: int
    sending: int
    sent: int


class System(ApiModel):
    """How Defib itself is."""

    timestamp: Moment
    version: str
    ingest: Ingest
    relays: list[Relay]
    operator: Operator
    clusters: list[Cluster]
    holds: list[HoldCount]
    brakes: list[Brake]
    global_stop: Stop | None
    intents: Intents
    reports_waiting: int = Field(description="Reports that this API process is about to store.")
    redis: CheckStatus

    @classmethod
    def from_overview(
        cls, seen: Overview, *, version: str, redis: CheckStatus, reports_waiting: int
    ) -> "System":
        """Show what the database says, and what this process knows of itself."""
        stop = seen.global_stop
        return cls(
            timestamp=seen.now,
            version=version,
            ingest=_ingest(seen),
            relays=_relays(seen),
            operator=_operator(seen),
            clusters=_clusters(seen),
            holds=[
                HoldCount(reason=reason, count=one.held, alerting=one.alerting)
                for one in seen.holds
                if (reason := known_hold(one.reason)) is not None
            ],
            brakes=[Brake.from_view(one) for one in seen.brakes if known_hold(one.reason)],
            global_stop=None
            if stop is None
            else Stop(
                reason=stop.reason,
                started_by=stop.started_by,
                started_at=stop.started_at,
                system_config=stop.system_config,
            ),
            intents=Intents(
                requested=seen.intents.get("requested", 0),
                sending=seen.intents.get("sending", 0),
                sent=seen.intents.get("sent", 0),
            ),
            reports_waiting=reports_waiting,
            redis=redis,
        )


class ConfigSource(StrEnum):
    """Where a configuration comes from."""

    RESOURCE = "SystemConfig"
    DEFAULTS = "defaults"


class Config(ApiModel):
    """A SystemConfig in force: the last good spec, complete."""

    name: str
    namespace: str
    source: ConfigSource = Field(description="`defaults`: there is no such resource yet.")
    generation: int | None
    spec: dict[str, Any] = Field(description="As in the custom resource, with every default.")
    invalid: str | None = Field(description="Why a newer spec is not in force; else null.")
    in_force_since: Moment
    vms: int

    @classmethod
    def from_view(cls, view: ConfigView) -> "Config":
        """Show a configuration."""
        return cls(
            name=view.name,
            namespace=view.namespace,
            source=ConfigSource.DEFAULTS if view.uid is None else ConfigSource.RESOURCE,
            generation=view.generation,
            spec=dict(view.spec),
            invalid=view.invalid,
            in_force_since=view.changed_at,
            vms=view.vms,
        )


def _ingest(seen: Overview) -> Ingest:
    return Ingest(
        live=seen.ingest.blind_since is None,
        blind_since=seen.ingest.blind_since,
        replicas=[
            Replica(
                name=one.name, started_at=one.started_at, proved_at=one.proved_at, live=one.live
            )
            for one in seen.ingest.replicas
        ],
    )


def _relays(seen: Overview) -> list[Relay]:
    return [
        Relay(
            name=one.name,
            cluster=one.cluster,
            proved_at=one.proved_at,
            live=one.live,
            waiting=one.waiting,
            lost=one.lost,
            version=one.version,
        )
        for one in seen.relays
    ]


def _operator(seen: Overview) -> Operator:
    age = seen.operator.sweep_age
    return Operator(
        leader=seen.operator.leader,
        last_sweep=seen.operator.swept_at,
        sweep_age_seconds=None if age is None else round(max(0.0, age.total_seconds()), 1),
        kubernetes_heard_at=seen.operator.kubernetes_heard_at,
        statuses_waiting=seen.operator.statuses_waiting,
    )


def _clusters(seen: Overview) -> list[Cluster]:
    return [
        Cluster(
            name=one.name,
            namespace=one.namespace,
            reachable=one.reachable,
            version=one.version,
            quorate=one.quorate,
            message=one.message,
            invalid=one.invalid,
            checked_at=one.checked_at,
            token_missing=list(one.token_missing),
            nodes=[ClusterNode(name=node["name"], online=node["online"]) for node in one.nodes],
        )
        for one in seen.clusters
    ]
