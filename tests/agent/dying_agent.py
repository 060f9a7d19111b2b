"""`python -m tests.agent.dying_agent STEP`: the real agent, which kills itself (-9) the first time it passes STEP.

A marker file beside the journal remembers that it has died, so that the next start lives.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from agent import cli
from agent.cloud.command_handler import CommandHandler
from agent.journal.journal import Journal
from agent.journal.report_queue import ReportQueue
from agent.machine.driver import Driver

STEPS: dict[str, tuple[type, str, str]] = {
    "received, not acknowledged": (CommandHandler, "handle", "after"),
    "before intent": (Journal, "mark_intent", "before"),
    "intent, not sent": (Journal, "mark_intent", "after"),
    "sent, no byte": (Driver, "make", "before"),
    "bytes written": (Driver, "make", "after"),
    "before accepted": (Journal, "mark_accepted", "before"),
    "accepted": (Journal, "mark_accepted", "after"),
    "brewing": (Journal, "mark_brewing", "after"),
    "before the outcome": (Journal, "finish", "before"),
    "outcome, not acknowledged": (Journal, "finish", "after"),
    "outcome acknowledged": (Driver, "acknowledge", "after"),
}

ROUNDABOUT: dict[str, tuple[type, str, str]] = {
    "before received": (Journal, "insert_command", "before"),
    "before sent": (Journal, "mark_sent", "before"),
    "before brewing": (Journal, "mark_brewing", "before"),
    "about to ask": (Driver, "lookup", "before"),
    "about to count": (Driver, "counters", "before"),
    "sent again": (Journal, "mark_resent", "after"),
    "receipted": (ReportQueue, "confirm", "after"),
}
"""Steps that a drink does not always pass, or passes more than once."""


def arm(step: str, marker: Path) -> None:
    """Put the kill in its place."""
    owner, name, when = (STEPS | ROUNDABOUT)[step]
    original = getattr(owner, name)

    def die() -> None:
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)

    def armed(*args: Any, **more: Any) -> Any:
        if marker.exists():
            return original(*args, **more)
        if when == "before":
            die()
        result = original(*args, **more)
        die()
        return result

    setattr(owner, name, armed)


if __name__ == "__main__":
    arm(sys.argv[1], Path(os.environ["COFFEE_AGENT_STATE_DIR"]) / "has-died")
    sys.exit(cli.main(["run"]))
