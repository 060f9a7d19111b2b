"""`python -m tests.agent.update.dying_update STEP`: the installed agent, killed (-9) the first time it passes STEP.

A marker file beside the journal remembers that it has died, so that the next start lives.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent import cli
from agent.update import fetch, release_files, starting
from agent.update.updater import Updater
from agent.update.versions import Versions

BEFORE_THE_TRIAL = ("begun", "fetched", "half unpacked", "unpacked", "tested", "before the trial is written")
ON_TRIAL = ("the trial is written", "chosen")


def arm(step: str, marker: Path) -> None:
    """Put the kill in its place."""

    def die() -> None:
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def after(original: Callable[..., Any]) -> Callable[..., Any]:
        def armed(*args: Any, **more: Any) -> Any:
            result = original(*args, **more)
            die()
            return result

        return armed

    def before(original: Callable[..., Any]) -> Callable[..., Any]:
        def armed(*args: Any, **more: Any) -> Any:
            die()
            return original(*args, **more)

        return armed

    def around_writing(state_dir: Path, known: Versions) -> None:
        if step == "before the trial is written" and known.trial is not None:
            die()
        write(state_dir, known)
        if (step == "begun" and known.begun is not None) or (
            step == "the trial is written" and known.trial is not None
        ):
            die()

    write = release_files.write
    release_files.write = around_writing
    match step:
        case "fetched":
            fetch.fetch = after(fetch.fetch)
        case "half unpacked":
            release_files._settle_inside = before(release_files._settle_inside)
        case "unpacked":
            release_files.unpack = after(release_files.unpack)
        case "tested":
            prepare = Updater._prepare
            Updater._prepare = after(prepare)  # type: ignore[method-assign]
        case "chosen":
            starting._become = before(starting._become)


if __name__ == "__main__":
    arm(sys.argv[1], Path(os.environ["COFFEE_AGENT_STATE_DIR"]) / "has-died")
    sys.exit(cli.main(["run"]))
