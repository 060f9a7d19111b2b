"""The first thing a start does: choose the version that is to run, and become it. Nothing here may keep a machine shut.

A version on trial is given a time by the kernel: whatever it does, SIGALRM ends it then, unless it has proved itself.
"""

import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from math import ceil
from pathlib import Path

from agent import AGENT_VERSION, folder_lock
from agent.update import release_files, versions
from agent.update.versions import BASE, Versions

STARTED_AS = "COFFEE_AGENT_STARTED_AS"
"""In the environment of a fetched version: the command line of the installed program, as JSON."""
GRACE_S = 15.0
"""A version on trial goes back by itself when its time is over; one that cannot is ended so much later."""
log = logging.getLogger(__name__)


def become_chosen(state_dir: Path, arguments: list[str]) -> None:
    """Return where this program is the one to run; else turn into the other, with these arguments."""
    if release_files.is_this_one_of(state_dir):
        return
    signal.alarm(0)
    try:
        with folder_lock.acquire(state_dir):  # a second agent started by hand must not count as a start
            chosen, known = _chosen(state_dir)
            if chosen != BASE:
                _become(release_files.folder_of(state_dir, chosen), known, arguments)
    except (OSError, folder_lock.AlreadyRunning) as error:
        log.error("no other version can be chosen, %s runs: %s", AGENT_VERSION, error)
        signal.alarm(0)


def command_line(env: Mapping[str, str]) -> list[str]:
    """What to become to start anew: always the installed program, which chooses."""
    try:
        return [str(word) for word in json.loads(env[STARTED_AS])]
    except (KeyError, ValueError, TypeError):
        return [sys.executable, *sys.orig_argv[1:]]


def proved() -> None:
    """The kernel need not end us any more."""
    signal.alarm(0)


def _chosen(state_dir: Path) -> tuple[str, Versions]:
    before = release_files.read(state_dir)
    known, chosen = versions.choose(before, AGENT_VERSION)
    while chosen != BASE and not release_files.is_whole(release_files.folder_of(state_dir, chosen)):
        log.error("version %s is not there whole", chosen)
        known = versions.lost(known, chosen)
        chosen = known.current
    if known != before and before != Versions():
        release_files.write(state_dir, known)
    return chosen, known


def _become(folder: Path, known: Versions, arguments: list[str]) -> None:
    if known.trial is not None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.alarm(ceil(known.trial.ready_within_s + GRACE_S))
    env = {**os.environ, STARTED_AS: json.dumps([sys.executable, *sys.orig_argv[1:]])}
    os.execve(sys.executable, [sys.executable, str(folder), *arguments], env)  # noqa: S606  (our own interpreter)
