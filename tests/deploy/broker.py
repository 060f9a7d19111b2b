"""A real Mosquitto running the shipped configuration: only its paths and ports are the test's own, TLS included.

Its plugin begins with what `coffee-cloud broker-file` makes of a password file, as whoever changes over does it.
"""

import json
import os
import shutil
import signal
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloud.courier import broker_file
from cloud.courier.broker import BrokerLink
from cloud.courier.dynamic_security import RESPONSE, DynamicSecurity
from tests.deploy.shipped import DEPLOY
from tests.programs import Program, answers, free_port
from tests.real_parts import DYNAMIC_SECURITY, MOSQUITTO, missing

SHIPPED = DEPLOY / "mosquitto"
CLOUD = "coffee-cloud"
PASSWORDS = {CLOUD: "cloud-secret", "m-001": "first-secret", "m-002": "second-secret"}
_PORT_TRIES = 3
NAMES = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]
# What Debian's package has as its own main file.
_MAIN_FILE_OF_A_HOST = """\
persistence true
persistence_location /mosquitto/data/
log_dest stdout
include_dir /etc/mosquitto/conf.d
"""


class ShippedBroker:
    """The broker as deployed: `cloud_port` without TLS, `machines_port` with it, `elsewhere_port` if `more` has it."""

    def __init__(self, folder: Path, *, in_container: bool = True, more: str = "") -> None:
        """`more`: lines of configuration about the machines' listener, or further listeners."""
        self.certificate = folder / "secrets" / "server.crt"
        self.trusted = self.certificate
        """Whom machines trust."""
        self._passwords = folder / "secrets" / "passwords"
        self._folder = folder
        self._more = more
        for name in ("secrets", "conf.d", "data"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        _certify(self.certificate, folder / "secrets" / "server.key")
        _make_users(self._passwords)
        begun = broker_file.begin(CLOUD, PASSWORDS[CLOUD], self._passwords.read_text().splitlines())
        (folder / "data" / "dynamic-security.json").write_text(json.dumps(begun))
        for tries_left in reversed(range(_PORT_TRIES)):
            self._configure(in_container)
            try:
                self.start()
            except AssertionError:  # somebody took a port first
                if not tries_left:
                    raise
            else:
                return

    def _configure(self, in_container: bool) -> None:
        self.cloud_port, self.machines_port, self.elsewhere_port = free_port(), free_port(), free_port()
        main = (SHIPPED / "mosquitto.conf").read_text() if in_container else _MAIN_FILE_OF_A_HOST
        self._write("mosquitto.conf", main + ("user root\n" if os.geteuid() == 0 else ""))
        self._write("conf.d/coffee.conf", (SHIPPED / "coffee.conf").read_text() + self._more)
        if not in_container:
            for name in ("loopback.conf", "rights.conf"):
                self._write(f"conf.d/{name}", (SHIPPED / name).read_text())

    def start(self) -> None:
        """Start it, or start it again with what it saved."""
        command = [MOSQUITTO.program, "-c", self._folder / "mosquitto.conf"]
        self._program = Program(command, log=self._folder / "log")
        self._program.wait_until_ready(lambda: answers(self.cloud_port) and answers(self.machines_port))

    def take_away_the_password_of(self, user: str) -> None:
        """As a worker does it after `coffee-cloud revoke`."""
        self._tell(lambda rights: rights.throw_out(user, "a session"))

    def let_in(self, user: str) -> None:
        """As a worker does it after `coffee-agent enroll`."""
        self._tell(lambda rights: rights.let_in(user, PASSWORDS[user]))

    def _tell(self, work: Callable[[DynamicSecurity], None]) -> None:
        url = f"mqtt://127.0.0.1:{self.cloud_port}"
        link = BrokerLink(url, "coffee-cloud-rights", user=CLOUD, password=PASSWORDS[CLOUD], listens_to=[RESPONSE])
        link.start()
        try:
            assert link.wait_connected(30)
            work(DynamicSecurity(link))
        finally:
            link.stop()

    @property
    def url(self) -> str:
        """The cloud's listener."""
        return f"mqtt://127.0.0.1:{self.cloud_port}"

    @property
    def is_running(self) -> bool:
        return self._program.is_running

    def reload(self) -> None:
        """As `systemctl reload mosquitto` does: it reads its files again."""
        self._program.send(signal.SIGHUP)

    def kill(self) -> None:
        self._program.kill()

    def stop(self) -> None:
        self._program.stop()

    def trust(self) -> ssl.SSLContext:
        """What a machine needs to believe this broker."""
        return ssl.create_default_context(cafile=str(self.trusted))

    def _write(self, name: str, text: str) -> None:
        for shipped, ours in (
            ("/etc/mosquitto/", f"{self._folder}/"),
            ("/mosquitto/data/", f"{self._folder}/data/"),
            ("/var/lib/mosquitto/", f"{self._folder}/data/"),
            ("listener 8883\n", f"listener {self.machines_port} 127.0.0.1\n"),
            ("listener 8884\n", f"listener {self.elsewhere_port} 127.0.0.1\n"),
            ("listener 1883 127.0.0.1\n", f"listener {self.cloud_port} 127.0.0.1\n"),
            ("listener 1883\n", f"listener {self.cloud_port} 127.0.0.1\n"),
        ):
            text = text.replace(shipped, ours)
        (self._folder / name).write_text(text)


@contextmanager
def a_shipped_broker(folder: Path, *, in_container: bool = True, more: str = "") -> Iterator[ShippedBroker]:
    """The broker for the length of the block. Skips without Mosquitto, and fails when CI=true."""
    for part in (MOSQUITTO, DYNAMIC_SECURITY):
        if part.where is None or part.is_address:
            missing(f"needs a Mosquitto of its own with its plugin; {part}")
    broker = ShippedBroker(folder, in_container=in_container, more=more)
    try:
        yield broker
    finally:
        broker.stop()


def _mosquitto_passwd() -> str | Path:
    return shutil.which("mosquitto_passwd") or Path(MOSQUITTO.program).with_name("mosquitto_passwd")


def _make_users(file: Path) -> None:
    file.touch(mode=0o600)
    for name, password in PASSWORDS.items():
        subprocess.run([_mosquitto_passwd(), "-b", file, name, password], check=True, capture_output=True)


def _certify(certificate: Path, key_file: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker of a test")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(NAMES), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
