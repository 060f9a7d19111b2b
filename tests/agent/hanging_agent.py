"""`python -m tests.agent.hanging_agent PART`: the real agent, one part of which stops for ever once a file says so.

The file is `hang` beside the journal; a part that was started after it was seen lives on, as after a restart.
"""

import os
import sys
import threading
from pathlib import Path
from typing import Any

from agent import cli, link, service
from agent.intake import Intake
from agent.link import Link
from agent.port import SerialLine
from agent.worker import Worker

PARTS: dict[str, tuple[type, str]] = {
    "reader": (SerialLine, "_judge"),
    "worker": (Worker, "step"),
    "link": (Link, "step"),
    "broker's callback": (Intake, "take"),
}
NAMED = {"reader": "serial", "worker": "worker", "link": "link", "broker's callback": "link"}
"""As the agent calls them when it complains."""
RESOLVER_S = DEAF_S = 2.0
STATE_EVERY_S = 1.0
"""A minute's silence of the broker, or two of a name server, would be all that is tested."""


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
    service.RESOLVER_S, link.DEAF_S, link.STATE_EVERY_S = RESOLVER_S, DEAF_S, STATE_EVERY_S
    arm(sys.argv[1], Path(os.environ["COFFEE_AGENT_STATE_DIR"]) / "hang")
    sys.exit(cli.main(["run"]))
