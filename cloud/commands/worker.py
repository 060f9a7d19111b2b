"""`coffee-cloud worker`: the background work by itself, until a signal ends it."""

import signal
import threading
from types import FrameType

import click

from cloud.database.listen import ChangeListener
from cloud.processes.gc_tuning import spare_what_stays
from cloud.processes.worker import Worker
from cloud.starting import ready_made_in_time, settings_of_environ

ENDING = (signal.SIGINT, signal.SIGTERM)


def add_to(main: click.Group) -> None:
    """Add the command."""
    main.add_command(worker)


@click.command()
def worker() -> None:
    """Everything in the background: payments, the broker, deadlines. No HTTP."""
    cloud = ready_made_in_time(settings_of_environ())
    ended = _asked_to_end()
    listener, work = ChangeListener(cloud.database), Worker(cloud)
    listener.start()
    work.start()
    spare_what_stays()
    ended.wait()
    work.stop()
    listener.stop()
    cloud.close()


def _asked_to_end() -> threading.Event:
    """Set by the first signal, be it during the start. A second one ends the program without waiting for providers."""
    ended = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        for number in ENDING:
            signal.signal(number, signal.SIG_DFL)
        ended.set()

    for number in ENDING:
        signal.signal(number, on_signal)
    return ended
