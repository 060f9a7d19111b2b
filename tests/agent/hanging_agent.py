"""`python -m tests.agent.hanging_agent PART`: the real agent, one part of which stops for ever once a file says so.

The file is `hang` beside the journal; a part that was started after it was seen lives on, as after a restart.
"""

import os
import sys
import threading
from pathlib import Path
from typing import Any

from agent import cli
from agent.cloud import link, state_sender
from agent.cloud.command_handler import CommandHandler
from agent.cloud.link import Link
from agent.cloud.mqtt import Connection
from agent.machine.serial_port import SerialLine
from agent.making.worker import Worker

PARTS: dict[str, tuple[type, str]] = {
    "reader": (SerialLine, "_judge"),
    "worker": (Worker, "step"),
    "link": (Link, "step"),
    "network": (Connection, "_came_round"),
    "broker's callback": (CommandHandler, "handle"),
}
NAMED = {"reader": "serial", "worker": "worker", "link": "link", "network": "network", "broker's callback": "network"}
"""As the agent calls them when it complains."""
DEAF_S, STATE_EVERY_S = 600.0, 1.0
"""No silence of the broker may be what ends it."""


def arm(part: str, switch: Path) -> None:
    """Put the endless wait in its place."""
    owner, name = PARTS[part]
    original = getattr(owner, name)

    def armed(*args: Any, **more: Any) -> Any:
        if switch.exists():
            switch.unlink()
            threading.Event().wait()
        return original(*args, **more)

    setattr(owner, name, armed)


if __name__ == "__main__":
    link.DEAF_S, state_sender.STATE_EVERY_S = DEAF_S, STATE_EVERY_S
    arm(sys.argv[1], Path(os.environ["COFFEE_AGENT_STATE_DIR"]) / "hang")
    sys.exit(cli.main(["run"]))
