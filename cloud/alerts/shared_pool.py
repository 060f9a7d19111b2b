"""The threads that send, shared out: one owner's channels take half of them at most, however slow they are."""

import threading
from collections import Counter
from collections.abc import Callable

from cloud.background.loops import ThreadPool


class SharedPool:
    """A thread pool that knows for whom each of its threads works, and who has half of them.

    It refuses nobody: who claims work leaves out the owners at their limit.
    """

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool
        self._most = max(1, pool.size // 2)
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()

    @property
    def free(self) -> int:
        """Threads with nothing to do."""
        return self._pool.free

    def owners_at_limit(self) -> list[str]:
        """Owners for whom half of the threads work, or the only one."""
        with self._lock:
            return [owner for owner, number in self._busy.items() if number >= self._most]

    def submit(self, owner: str, work: Callable[[], None]) -> None:
        """Have it done for this owner."""

        def run_and_count() -> None:
            try:
                work()
            finally:
                with self._lock:
                    self._busy[owner] -= 1

        with self._lock:
            self._busy[owner] += 1
        self._pool.submit(run_and_count)
