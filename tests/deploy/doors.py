"""A real `coffee-cloud run` that nobody sells through: what strangers send it, and what it says."""

import sys
from pathlib import Path

from tests.programs import Program, answers, free_port

ROOT = Path(__file__).parents[2]


class Doors:
    """The program on a port of its own, with no broker and no merchant."""

    def __init__(self, folder: Path, **settings: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            "COFFEE_SECRET_KEY": "x" * 32,
            "COFFEE_BIND": f"127.0.0.1:{self.port}",
            "COFFEE_MQTT_URL": "mqtt://127.0.0.1:9",
            "COFFEE_YOOKASSA_WEBHOOK_NETWORKS": "*",
            **settings,
        }

    def open(self, log: str = "log") -> Program:
        argv = [sys.executable, "-m", "cloud", "run"]
        return Program(argv, log=self.folder / log, cwd=self.folder, env={"PYTHONPATH": str(ROOT), **self.env})

    def is_open(self) -> bool:
        return answers(self.port)
