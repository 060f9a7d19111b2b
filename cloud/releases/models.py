"""Tables of releases: each version's bundle, how it is rolled out, and how far each machine is."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, Boolean, ForeignKey, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from cloud.database.base import Base


class RolloutState(StrEnum):
    """How a rollout stands."""

    RUNNING = "running"
    PAUSED = "paused"
    """A person goes on later; a machine that was asked already goes on by itself."""
    STOPPED = "stopped"
    """By a person, or because a machine failed."""
    DONE = "done"


GOES_ON = frozenset({RolloutState.RUNNING.value, RolloutState.PAUSED.value})


class Step(StrEnum):
    """How far one machine is."""

    WAITING = "waiting"
    ASKED = "asked"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Its agent cannot update itself: a person does it."""


class Release(Base):
    """One version's bundle."""

    __tablename__ = "releases"

    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(Integer)
    sha256: Mapped[str] = mapped_column(String(64))
    bundle: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    added_at: Mapped[datetime]
    added_by: Mapped[str] = mapped_column(String(128))


class Rollout(Base):
    """One version brought to a fleet, wave by wave. At most one goes on at a time."""

    __tablename__ = "rollouts"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    version: Mapped[str] = mapped_column(ForeignKey("releases.version"))
    state: Mapped[str] = mapped_column(String(16))
    waves: Mapped[list[str]] = mapped_column(JSON)
    wave: Mapped[int] = mapped_column(Integer, default=0)
    """The machines of the waves up to this one are asked."""
    settled_at: Mapped[datetime | None] = mapped_column(default=None)
    """Since when all that could be reached of these waves has the version, and no agent of them started again."""
    soak_s: Mapped[int] = mapped_column(Integer)
    allow_older: Mapped[bool] = mapped_column(Boolean)
    why: Mapped[str] = mapped_column(String(500), default="")
    asked_by: Mapped[str] = mapped_column(String(128))
    asked_at: Mapped[datetime]
    ended_at: Mapped[datetime | None] = mapped_column(default=None)


class RolloutMachine(Base):
    """One machine of a rollout."""

    __tablename__ = "rollout_machines"

    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollouts.id"), primary_key=True)
    device_uuid: Mapped[str] = mapped_column(ForeignKey("devices.device_uuid"), primary_key=True)
    wave: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(16), default=Step.WAITING.value)
    job_id: Mapped[str] = mapped_column(String(64), default="")
    tries: Mapped[int] = mapped_column(Integer, default=0)
    not_before: Mapped[datetime | None] = mapped_column(default=None)
    code: Mapped[str] = mapped_column(String(64), default="")
    words: Mapped[str] = mapped_column(String(500), default="")
    changed_at: Mapped[datetime]
