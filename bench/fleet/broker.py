"""Mosquitto exactly as shipped in deploy/mosquitto, TLS and its plugin included; only paths and ports differ."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from bench.programs import Running
from bench.stage import Missing
from cloud.courier import broker_file
from simulator.demo.programs import MOSQUITTO_PLACES, answers, free_port

SHIPPED = Path(__file__).parents[2] / "deploy" / "mosquitto"
CLOUD = "coffee-cloud"
PASSWORD = "bench-secret"
# What Debian's package has as its own main file.
_MAIN = """\
persistence true
persistence_location {folder}/data/
log_dest none
include_dir {folder}/conf.d
"""


class ShippedBroker(Running):
    """`cloud_port` is the loopback listener, `machines_port` the one with TLS, which `certificate` speaks for."""

    def __init__(self, folder: Path, devices: Iterable[str]) -> None:
        program = shutil.which("mosquitto") or next((p for p in MOSQUITTO_PLACES if Path(p).exists()), None)
        if program is None or shutil.which("mosquitto_passwd") is None or shutil.which("openssl") is None:
            raise Missing("no Mosquitto with mosquitto_passwd, or no openssl, on this machine")
        for name in ("secrets", "conf.d", "data"):
            (folder / name).mkdir(parents=True)
        self.cloud_port, self.machines_port = free_port(), free_port()
        self.certificate = folder / "secrets" / "server.crt"
        _certify(self.certificate, folder / "secrets" / "server.key")
        _write_names(folder, [CLOUD, *devices])
        rules = (SHIPPED / "coffee.conf").read_text().replace("/etc/mosquitto/", f"{folder}/")
        (folder / "conf.d" / "coffee.conf").write_text(rules.replace("listener 8883", f"listener {self.machines_port}"))
        rights = (SHIPPED / "rights.conf").read_text().replace("/var/lib/mosquitto/", f"{folder}/data/")
        (folder / "conf.d" / "rights.conf").write_text(rights)
        listener = (SHIPPED / "loopback.conf").read_text().replace("listener 1883", f"listener {self.cloud_port}")
        (folder / "conf.d" / "loopback.conf").write_text(listener)
        main = folder / "mosquitto.conf"
        main.write_text(_MAIN.format(folder=folder))
        for path in (folder, *folder.rglob("*")):  # started by root it becomes another user
            path.chmod(0o777 if path.is_dir() else 0o666)
        super().__init__("mosquitto", [program, "-c", str(main)], folder, os.environ)

    def is_ready(self) -> bool:
        """Whether both listeners accept connections."""
        return answers(self.cloud_port) and answers(self.machines_port)


def _certify(certificate: Path, key: Path) -> None:
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost", "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)


def _write_names(folder: Path, names: list[str]) -> None:
    """As machines with passwords made by hand are taken over."""
    path = folder / "passwords"
    path.write_text("".join(f"{name}:{PASSWORD}\n" for name in names))
    subprocess.run(["mosquitto_passwd", "-U", str(path)], check=True, capture_output=True)
    begun = broker_file.begin(CLOUD, PASSWORD, path.read_text().splitlines())
    (folder / "data" / "dynamic-security.json").write_text(json.dumps(begun))
