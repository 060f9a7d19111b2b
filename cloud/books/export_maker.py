"""The loop that makes files people have asked for: a page of lines a step, so that it holds nothing up for long.

A file whose maker was killed is begun anew by the next: nothing of it was shown to anybody yet.
"""

import logging
import shutil
import tempfile
from collections.abc import Generator, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from cloud.background.loops import Clock
from cloud.books import exports
from cloud.books.exports import MOST_BYTES, PART, Claim
from cloud.books.kinds import CUT, KINDS, MOST_LINES
from cloud.books.period import Period
from cloud.books.workbook import Workbook
from cloud.database.database import Database

log = logging.getLogger("cloud.books.exports")

LOOK_EVERY = timedelta(seconds=30)
"""For files of dead makers, and files whose time is over."""
AT_ONCE = 4
"""Parts stored in one transaction."""


class ExportMaker:
    """Makes one file at a time."""

    def __init__(self, database: Database, owner: str, clock: Clock) -> None:
        self._database = database
        self._owner = owner
        self._clock = clock
        self._work: Iterator[None] | None = None

    def step(self, now: datetime) -> datetime:
        """Make a part of the file under way, or the first of the next; come again at once while there is one."""
        if self._work is None:
            with self._database.read() as session:
                if not exports.is_any_due(session, now):
                    return now + LOOK_EVERY
            self._database.transact(exports.forget, now)
            claimed = self._database.transact(exports.claim, self._owner, now)
            if claimed is None:
                return now + LOOK_EVERY
            self._work = self._make(claimed)
        work, self._work = self._work, None  # a step that raises lets go of its file
        for _ in work:
            self._work = work
            break
        return now

    def _make(self, claimed: Claim) -> Iterator[None]:
        folder = Path(tempfile.mkdtemp(prefix="coffee-export-"))
        try:
            file = folder / "book.xlsx"
            lines = yield from self._write(claimed, file)
            if lines is None:
                return
            size = file.stat().st_size
            if size > MOST_BYTES:
                log.error("a file of %s bytes is too large to be kept", size, extra={"export": claimed.id})
                size = 0
            elif not (yield from self._keep(claimed, file)):
                return
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._database.transact(exports.end, claimed.id, self._owner, size, self._clock())
        log.info("a file is ready: %s lines", lines, extra={"export": claimed.id, "kind": claimed.kind})

    def _write(self, claimed: Claim, file: Path) -> Generator[None, None, int | None]:
        kind, lines = KINDS[claimed.kind], 0
        place: Any = None
        with Workbook(file, claimed.words["title"], kind.head(claimed.words)) as book:
            while True:
                with self._database.read() as session:
                    page, place = kind.page(session, claimed.asked, claimed.words, place)
                book.write(page[: MOST_LINES - lines])
                lines += len(page)
                if lines > MOST_LINES:
                    book.write([[claimed.words[CUT]]])
                    lines, place = MOST_LINES + 1, None
                percent = 100 if place is None else _passed(place[0], claimed.asked.period)
                if not self._goes_on(claimed, percent, lines):
                    return None
                if place is None:
                    break
                yield
        yield
        return lines

    def _keep(self, claimed: Claim, file: Path) -> Generator[None, None, bool]:
        number = 0
        with file.open("rb") as made:
            while bodies := [body for _ in range(AT_ONCE) if (body := made.read(PART))]:
                parts = list(enumerate(bodies, number))
                number += len(parts)
                if not self._database.transact(exports.keep, claimed.id, self._owner, parts, self._clock()):
                    return False
                yield
        return True

    def _goes_on(self, claimed: Claim, percent: int, lines: int) -> bool:
        now = self._clock()
        return self._database.transact(exports.go_on, claimed.id, self._owner, min(percent, 99), lines, now)


def _passed(place: Any, period: Period) -> int:
    """How much of the period lies behind, in percent."""
    day: date = place.date() if isinstance(place, datetime) else place
    return max(0, min(99, 100 * (day - period.first).days // period.length))
