"""One update at a time: fetched, checked, unpacked, tested in a thread of its own, while the machine goes on selling.

The worker switches versions, for it alone knows that no order is live; it also asks what a job came to, and tells it.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agent import AGENT_VERSION
from agent.clock import Clock
from agent.live_state import LiveState
from agent.refusal import refusal_code
from agent.update import checking, fetch, release_files, self_test, versions
from agent.update.checking import Unfit
from agent.update.probation import TROUBLE, answer_of
from protocol.bundle import Manifest
from protocol.messages import Answer, Update
from protocol.reasons import AgentCode, AnswerStatus, RejectCode, UpdateCode

TRIES, PAUSE_S = 5, 5.0
"""Of fetching, and between them."""
ORDERS_TAKE_S = 600.0
"""So long it waits for a moment without an order; then the update is put off, not the orders."""
log = logging.getLogger(__name__)


@dataclass
class Updater:
    """`bell` wakes the worker when a job has come further."""

    state_dir: Path
    device_uuid: str
    keys: tuple[bytes, ...]
    ca_files: tuple[str | None, ...]
    clock: Clock
    live_state: LiveState
    bell: Callable[[], None]
    test: Callable[[Path], str] = self_test.ask
    _thread: threading.Thread | None = None
    _stopping: threading.Event = field(default_factory=threading.Event)
    _job: Update | None = None
    _staged: Manifest | None = None
    _staged_at: float = 0.0
    _end: Answer | None = None

    def begin(self, job: Update) -> Answer:
        """Begin it, unless it is known already or cannot be."""
        known = self._known()
        said = versions.answer_to(known, job.job_id)
        if said is not None:
            status, code, words = said
            return _answer(job, status, code, words)
        if not self.keys:
            return _answer(job, AnswerStatus.REFUSED, UpdateCode.NO_RELEASE_KEY, "COFFEE_AGENT_RELEASE_KEY is not set")
        if self._job is not None:
            return _answer(job, AnswerStatus.REFUSED, RejectCode.BUSY, f"{self._job.version} is being put in place")
        if known.trial is not None and known.trial.version == AGENT_VERSION:
            return _answer(job, AnswerStatus.REFUSED, RejectCode.BUSY, f"{AGENT_VERSION} is being tried")
        if job.version == AGENT_VERSION:
            return _answer(job, AnswerStatus.DONE, words=f"{AGENT_VERSION} runs already")
        try:
            release_files.write(self.state_dir, versions.begun(known, job.job_id, job.version))
        except OSError as error:
            return _answer(job, AnswerStatus.REFUSED, AgentCode.STORAGE, str(error))
        self._job = job
        self._thread = threading.Thread(target=self._prepare, args=(job,), name="update", daemon=True)
        self._thread.start()
        return _answer(job, AnswerStatus.STARTED)

    def told_before(self) -> Answer | None:
        """What the last job came to, for a new start to say again."""
        return answer_of(self._known())

    def take_end(self) -> Answer | None:
        """What the job came to without a switch; taken with this call."""
        end, self._end = self._end, None
        if end is not None:
            self._job = None
        return end

    def switch(self, now: float, *, is_idle: bool) -> bool:
        """The worker's: True when the next start is the new version's, and nothing may be begun until then."""
        manifest = self._staged
        if manifest is None or self._job is None:
            return False
        if not is_idle:
            if now - self._staged_at > ORDERS_TAKE_S:
                self._fail(self._job, RejectCode.BUSY, "there was an order all the time")
            return False
        was_ready = not refusal_code(self.live_state.view, "")
        try:
            known = self._known()
            base = known.base if release_files.is_this_one_of(self.state_dir) else AGENT_VERSION
            tried = versions.to_be_tried(known, base, manifest.ready_within_s, was_ready=was_ready)
            release_files.write(self.state_dir, tried)
        except OSError as error:
            self._fail(self._job, AgentCode.STORAGE, str(error))
            return False
        self._staged = None
        self.live_state.set_trouble(TROUBLE, f"the agent is being updated to {manifest.version}")
        log.warning("version %s is tried from the next start on", manifest.version)
        return True

    def stop(self) -> None:
        """What is being prepared is given up; the next start says so."""
        self._stopping.set()

    def _known(self) -> versions.Versions:
        return release_files.read(self.state_dir)

    def _prepare(self, job: Update) -> None:
        try:
            manifest, signed = checking.checked(self._fetched(job), self.keys)
            checking.judge(
                manifest, version=job.version, device_uuid=self.device_uuid, allow_older=job.allow_older
            )  # fmt: skip
            known = self._known()
            release_files.prune(self.state_dir, {known.current, AGENT_VERSION})
            if job.version == known.current:
                raise Unfit(UpdateCode.BAD_BUNDLE, f"{job.version} is what runs from the next start on")
            files = checking.files_of(signed, manifest)
            folder = release_files.unpack(self.state_dir, job.version, files)
            if said := self.test(folder):
                raise Unfit(UpdateCode.SELF_TEST, said)
        except Unfit as unfit:
            self._fail(job, unfit.code, str(unfit))
        except fetch.NotFetched as error:
            self._fail(job, UpdateCode.NOT_FETCHED, str(error))
        except OSError as error:
            self._fail(job, AgentCode.STORAGE, str(error))
        except Exception as error:
            # Whatever it is, the version that runs goes on, and the asker must hear of it.
            log.exception("an update met an error")
            self._fail(job, UpdateCode.BAD_BUNDLE, f"{type(error).__name__}: {error}")
        else:
            self._staged_at = self.clock.monotonic()
            self._staged = manifest
            self.bell()

    def _fetched(self, job: Update) -> bytes:
        """Tried again: a machine's network comes and goes. Raises `NotFetched`."""
        for left in reversed(range(TRIES)):
            try:
                return fetch.fetch(job.url, job.size, job.sha256, self.ca_files)
            except fetch.NotFetched as error:
                if not left or self._stopping.wait(PAUSE_S):
                    raise
                log.warning("version %s: %s; again in %.0f s", job.version, error, PAUSE_S)
        raise fetch.NotFetched("it was not tried")

    def _fail(self, job: Update, code: str, words: str) -> None:
        log.error("no update to %s: %s %s", job.version, code, words)
        self._staged = None
        try:
            ended = versions.ended(self._known(), AnswerStatus.FAILED, code, words)
            release_files.write(self.state_dir, ended)
        except OSError as error:
            log.error("that is not written down: %s", error)
        self._end = _answer(job, AnswerStatus.FAILED, code, words)
        self.bell()


_KIND = str(Update.__struct_config__.tag)


def _answer(job: Update, status: AnswerStatus, code: str = "", words: str = "") -> Answer:
    said = words.replace("\0", "")[: versions.WORDS]
    return Answer(reference=job.job_id, asked=_KIND, status=status, code=code, words=said)
