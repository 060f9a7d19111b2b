"""`coffee-cloud worker`: the background work by itself, until a signal ends it."""

import signal
import threading
from types import FrameType

import click

from cloud.database.listen import ChangeListener
from cloud.processes.gc_tuning import spare_what_stays
from cloud.processes.worker import Worker
from cloud.starting import ready_made_in_time, settings_of_environ


def add_to(main: click.Group) -> None:
    """Add the command."""
    main.add_command(worker)


@click.command()
def worker() -> None:
    """Everything in the background: payments, the broker, deadlines. No HTTP."""
    cloud = ready_made_in_time(settings_of_environ())
    watch, work = ChangeListener(cloud.database), Worker(cloud)
    watch.start()
    work.start()
    spare_what_stays()
    _wait_for_the_end()
    work.stop()
    watch.stop()
    cloud.close()


def _wait_for_the_end() -> None:
    ended = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    ended.wait()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # a second one does not wait for providers
