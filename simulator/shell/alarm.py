"""Wakes a sleeping loop before its time; a ring between the loop's look and its sleep is not lost."""

import threading


class Alarm:
    """Loop: `heard = alarm.rung`, work, `alarm.sleep(heard, seconds)`."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rung = 0

    @property
    def rung(self) -> int:
        return self._rung

    def ring(self, everybody: bool = False) -> None:
        """Wake one sleeper, or all; whoever is awake will not fall asleep on an older count."""
        with self._condition:
            self._rung += 1
            if everybody:
                self._condition.notify_all()
            else:
                self._condition.notify()

    def sleep(self, heard: int, seconds: float) -> None:
        with self._condition:
            if self._rung == heard:
                self._condition.wait(seconds)
