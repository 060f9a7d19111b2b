"""Which version of the agent is to run: pure rules over what one small file remembers. No I/O.

The installed program is the base: it starts first, chooses, and runs itself or becomes a version fetched later. So
whatever a fetched version does, the choice is made by a program that has not changed.
"""

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from protocol.reasons import AnswerStatus, UpdateCode

BASE = ""
"""The name of the installed program among the versions."""
MOST_STARTS = 2
"""Of a version on trial: one power cut is forgiven, a program that ends by itself twice is not."""
WORDS = 500


class Begun(Struct, frozen=True, kw_only=True):
    """A job being worked on: nothing has changed yet."""

    job_id: str
    version: str


class Trial(Struct, frozen=True, kw_only=True):
    """A version that has yet to prove itself. Written down before its first start."""

    job_id: str
    version: str
    ready_within_s: Annotated[float, Meta(gt=0)]
    was_ready: bool
    """The machine could be sold from before; then it must be again."""
    starts: int = 0


class UpdateResult(Struct, frozen=True, kw_only=True):
    """What became of the last job; told again at each start, for an answer may be lost."""

    job_id: str
    status: AnswerStatus
    code: str = ""
    words: str = ""


class Versions(Struct, frozen=True, kw_only=True):
    """All that is remembered. The default is an agent that was never updated."""

    base: str = ""
    """Version of the installed program when this was written: one that is installed anew wins."""
    current: str = BASE
    begun: Begun | None = None
    trial: Trial | None = None
    told: UpdateResult | None = None


def choose(known: Versions, base: str) -> tuple[Versions, str]:
    """What to remember from now on, and which version to run."""
    known = _interrupted(known)
    if known.base != base:
        if known.trial is not None:
            known = rolled_back(known, "another version was installed meanwhile")
        return replace(known, base=base, current=BASE), BASE
    trial = known.trial
    if trial is None:
        return known, known.current
    if trial.starts >= MOST_STARTS:
        return rolled_back(known, f"it ended {trial.starts} times before it was ready"), known.current
    return replace(known, trial=replace(trial, starts=trial.starts + 1)), trial.version


def begun(known: Versions, job_id: str, version: str) -> Versions:
    return replace(known, begun=Begun(job_id=job_id, version=version))


def ended(known: Versions, status: AnswerStatus, code: str, words: str) -> Versions:
    """The job under way came to this before anything was tried."""
    if known.begun is None:
        return known
    result = UpdateResult(job_id=known.begun.job_id, status=status, code=code, words=words[:WORDS])
    return replace(known, begun=None, told=result)


def to_be_tried(known: Versions, base: str, ready_within_s: float, *, was_ready: bool) -> Versions:
    """From now on the next start is that of the new version; `base` is the version of the installed program."""
    assert known.begun is not None  # noqa: S101
    trial = Trial(
        job_id=known.begun.job_id, version=known.begun.version, ready_within_s=ready_within_s, was_ready=was_ready
    )
    return replace(known, base=base, begun=None, trial=trial)


def proved(known: Versions) -> Versions:
    """The version on trial is what runs from now on."""
    trial = known.trial
    if trial is None:
        return known
    result = UpdateResult(job_id=trial.job_id, status=AnswerStatus.DONE, words=f"{trial.version} runs")
    return replace(known, current=trial.version, trial=None, told=result)


def rolled_back(known: Versions, why: str) -> Versions:
    """The version before the one on trial is what runs from now on."""
    trial = known.trial
    if trial is None:
        return known
    words = f"{trial.version}: {why}"[:WORDS]
    result = UpdateResult(job_id=trial.job_id, status=AnswerStatus.FAILED, code=UpdateCode.ROLLED_BACK, words=words)
    return replace(known, trial=None, told=result)


def lost(known: Versions, version: str) -> Versions:
    """The files of this version are not there whole: what else is there runs."""
    if known.trial is not None and known.trial.version == version:
        return rolled_back(known, "its files are damaged")
    return replace(known, current=BASE)


def answer_to(known: Versions, job_id: str) -> tuple[AnswerStatus, str, str] | None:
    """Status, code and words for a job that is known already; None for a new one."""
    if known.told is not None and known.told.job_id == job_id:
        return known.told.status, known.told.code, known.told.words
    if job_id in {one.job_id for one in (known.begun, known.trial) if one is not None}:
        return AnswerStatus.STARTED, "", ""
    return None


def _interrupted(known: Versions) -> Versions:
    """A start finds a job begun: whoever worked on it is gone."""
    return ended(known, AnswerStatus.FAILED, UpdateCode.INTERRUPTED, "the agent ended before it was tried")
