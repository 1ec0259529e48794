"""The same endpoint as a tutorial has it: FastAPI, SQLAlchemy's ORM, one commit a report.

It looks the key and the thresholds up, as both can be changed at any time, finds or creates the VM,
updates its state and inserts a row of metrics, in one transaction, and answers when that is
committed: what Defib does, without the care for speed.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from sqlalchemy import DateTime, ForeignKey, Index, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from defib_core.store.engine import sqlalchemy_url

THREADS = 40
"""FastAPI runs that many at a time. Each finds a connection, as connecting anew would cost more."""


class Base(DeclarativeBase):
    """The tables."""


class ApiKey(Base):
    """A key that agents may send, as its digest."""

    __tablename__ = "api_key"

    sha256: Mapped[str] = mapped_column(primary_key=True)


class SystemConfig(Base):
    """The thresholds, in the one row."""

    __tablename__ = "system_config"

    id: Mapped[int] = mapped_column(primary_key=True)
    cpu_threshold: Mapped[float] = mapped_column(default=80.0)
    ram_threshold: Mapped[float] = mapped_column(default=90.0)


class Vm(Base):
    """A VM and its last report."""

    __tablename__ = "vm"

    id: Mapped[int] = mapped_column(primary_key=True)
    vmid: Mapped[int] = mapped_column(unique=True)
    hostname: Mapped[str]
    node: Mapped[str | None]
    status: Mapped[str]
    cpu_usage: Mapped[float]
    ram_usage: Mapped[float]
    ram_total: Mapped[float]
    last_heartbeat: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    is_down: Mapped[bool] = mapped_column(default=False)
    is_warning: Mapped[bool] = mapped_column(default=False)


class VmMetric(Base):
    """A report, for the history."""

    __tablename__ = "vm_metric"
    __table_args__ = (Index("vm_metric_vm_at", "vm_id", "timestamp"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    vm_id: Mapped[int] = mapped_column(ForeignKey("vm.id"))
    timestamp: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    cpu_usage: Mapped[float]
    ram_usage: Mapped[float]
    ram_total: Mapped[float]
    disk_usage: Mapped[float | None]
    disk_total: Mapped[float | None]
    uptime: Mapped[float | None]


class Report(BaseModel):
    """What agents send."""

    model_config = ConfigDict(alias_generator=to_camel)

    hostname: str
    vmid: int
    node: str | None = None
    status: str = "running"
    cpu_usage: float
    ram_usage: float
    ram_total: float
    disk_usage: float | None = None
    disk_total: float | None = None
    uptime: float | None = None


def digest(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def store(session: Session, report: Report) -> None:
    """Find or create the VM, update it, insert its metrics, commit."""
    now = datetime.now(UTC)
    config = session.scalars(select(SystemConfig)).one()
    vm = session.scalar(select(Vm).where(Vm.vmid == report.vmid))
    if vm is None:
        vm = Vm(vmid=report.vmid)
        session.add(vm)
    vm.hostname = report.hostname
    vm.node = report.node
    vm.status = report.status
    vm.cpu_usage, vm.ram_usage, vm.ram_total = (
        report.cpu_usage,
        report.ram_usage,
        report.ram_total,
    )
    vm.last_heartbeat = now
    vm.is_down = False
    vm.is_warning = (
        report.cpu_usage > config.cpu_threshold
        or report.ram_usage * 100 > report.ram_total * config.ram_threshold
    )
    session.flush()
    figures = report.model_dump(exclude={"hostname", "vmid", "node", "status"})
    session.add(VmMetric(vm_id=vm.id, timestamp=now, **figures))
    session.commit()


def make_naive(database_url: str, key: str) -> FastAPI:
    """Build the application; it makes its tables, with this one key."""
    engine = create_engine(sqlalchemy_url(database_url), pool_size=THREADS, max_overflow=0)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([ApiKey(sha256=digest(key)), SystemConfig()])
        session.commit()
    app = FastAPI()

    def session_of_request() -> Iterator[Session]:
        with Session(engine) as session:
            yield session

    @app.post("/api/health/report")
    def take(
        report: Report,
        session: Annotated[Session, Depends(session_of_request)],
        x_api_key: Annotated[str, Header()],
    ) -> dict[str, str | bool]:
        if session.get(ApiKey, digest(x_api_key)) is None:
            raise HTTPException(401, "wrong key")
        store(session, report)
        return {"success": True, "message": f"Health report received for {report.hostname}"}

    @app.get("/ready")
    def ready() -> dict[str, bool]:
        return {"ready": True}

    return app
