#!/usr/bin/env python3
"""A trial of Coffee Relay on this host, a fresh Debian 12 or newer: broker, database, cloud, HTTPS, and a first user.

The steps are those of deploy/README.md. What is there already is left as it is, so it may be run again.
`--dry-run` shows every step and changes nothing. Standard library only; as root.
"""

import argparse
import hashlib
import os
import secrets
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

DEPLOY = Path(__file__).resolve().parent
SOURCE = DEPLOY.parent
ETC, STATE, PROGRAM = Path("/etc/coffee-relay"), Path("/var/lib/coffee-cloud"), Path("/opt/coffee-relay")
AUTHORITY, BROKER = ETC / "broker-authority", Path("/etc/mosquitto")
RIGHTS = Path("/var/lib/mosquitto/dynamic-security.json")
UNITS = Path("/etc/systemd/system")
SERVER_CERTIFICATE, CADDYS_SITE = BROKER / "secrets/server.crt", UNITS / "caddy.service.d/site.conf"
BROKERS = ("coffee.conf", "loopback.conf", "rights.conf")
OPEN_FILES = UNITS / "mosquitto.service.d/open-files.conf"
WEB, WORKER, RUN = "coffee-cloud-web", "coffee-cloud-worker", "coffee-cloud-run@*"
PACKAGES = ["mosquitto", "caddy", "python3-venv", "openssl", "sudo"]
INSTALLED = ["pyproject.toml", "README.md", "agent", "cloud", "protocol", "simulator"]
READY_WITHIN_S = 120
RENEWED_BEFORE_S = 30 * 24 * 3600
WRONG_USAGE = 2


class Trial:
    """Each step: what it is, whether it is done already, how to do it."""

    def __init__(self, wishes: argparse.Namespace) -> None:
        self.domain: str = wishes.domain
        self.email: str = wishes.email
        self.is_dry: bool = wishes.dry_run
        self.is_plain: bool = wishes.plain_http
        self.on_sqlite: bool = wishes.database == "sqlite"
        self.link = ""

    @property
    def site(self) -> str:
        """As Caddy is told."""
        return f"http://{self.domain}" if self.is_plain else self.domain

    @property
    def url(self) -> str:
        return self.site if self.is_plain else f"https://{self.domain}"

    def steps(self) -> Iterator[tuple[str, bool, Callable[[], None]]]:
        yield "packages of Debian", not self.lacking(), self.install_packages
        yield "the user coffee-cloud", succeeds("getent", "passwd", "coffee-cloud"), self.make_user
        yield "the program in /opt/coffee-relay", self.is_installed(), self.install_program
        if not self.on_sqlite:
            yield "the database", self.has_database(), self.make_database
        yield "settings in /etc/coffee-relay/cloud.env", is_there(ETC / "cloud.env"), self.write_settings
        yield "the settings are the user's to read", self.has_settings(), self.hand_over_settings
        yield "the broker's certificate, by an authority of your own", self.is_certified(), self.certify
        yield "the broker", is_there(RIGHTS) and self.broker_is_ours(), self.set_up_broker
        runs = self.is_installed() and self.has_units() and is_active(*programs())
        yield "the cloud's programs", runs, self.start_cloud
        yield "Caddy", is_there(CADDYS_SITE) and is_active("caddy"), self.set_up_caddy
        yield f"the service answers at {self.url}", False, self.wait_ready
        yield f"the first user, {self.email}", self.has_owner(), self.make_owner

    def contradiction(self) -> str:
        """What this host is already, when that is something else."""
        told = (ETC / "cloud.env").read_text(encoding="utf-8").splitlines() if is_there(ETC / "cloud.env") else []
        is_sqlite = any(line.startswith("COFFEE_DATABASE_URL=sqlite") for line in told)
        if told and (f"COFFEE_PUBLIC_URL={self.url}" not in told or is_sqlite != self.on_sqlite):
            return f"{ETC}/cloud.env has another address or database, and is not changed: edit it, or ask for the same"
        if told and f"COFFEE_MACHINES_MQTT_CA={ETC}/broker-ca.crt" not in told and not is_there(SERVER_CERTIFICATE):
            place = SERVER_CERTIFICATE.parent
            return (
                f"by {ETC}/cloud.env machines trust another authority: bring its server.crt and server.key to {place}"
            )
        return ""

    def run(self) -> None:
        for number, (what, is_done, do) in enumerate(self.steps(), 1):
            print(f"{number:2}. {what}{': there already' if is_done else ''}", flush=True)
            if not is_done:
                do()

    # The steps

    def lacking(self) -> "list[str]":
        wanted = PACKAGES if self.on_sqlite else [*PACKAGES, "postgresql"]
        return [name for name in wanted if not is_installed(name)]

    def install_packages(self) -> None:
        self.do("apt-get", "update", "-qq")
        self.do("apt-get", "install", "-y", "-qq", "--no-install-recommends", *self.lacking())

    def make_user(self) -> None:
        self.do("adduser", "--system", "--group", "--home", STATE, "--no-create-home", "coffee-cloud")

    def is_installed(self) -> bool:
        """And runs: the mark is made by the step that restarts the programs."""
        stamp = PROGRAM / "installed-from"
        return stamp.exists() and stamp.read_text() == fingerprint()

    def install_program(self) -> None:
        pip, copy = PROGRAM / "bin/pip", PROGRAM / "source"
        self.do("python3", "-m", "venv", PROGRAM)
        self.do(pip, "install", "-q", "--no-deps", "--require-hashes", "-r", SOURCE / "requirements/runtime.txt")
        self.do("rm", "-rf", copy)  # made from a copy: building leaves files behind, and takes in those of before
        self.do("install", "-d", copy)
        self.do("cp", "-r", *(SOURCE / name for name in INSTALLED), copy)
        self.do(pip, "install", "-q", "--no-deps", "--no-build-isolation", "--force-reinstall", copy)
        self.do("rm", "-rf", copy)

    def has_database(self) -> bool:
        found = said("sudo", "-u", "postgres", "psql", "-lqtA")
        return any(line.startswith("coffee|") for line in found.splitlines())

    def make_database(self) -> None:
        if not succeeds("sudo", "-u", "postgres", "psql", "-c", 'SET ROLE "coffee-cloud"'):
            self.do("sudo", "-u", "postgres", "createuser", "coffee-cloud")
        self.do("sudo", "-u", "postgres", "createdb", "-E", "UTF8", "-T", "template0", "-O", "coffee-cloud", "coffee")

    def write_settings(self) -> None:
        told = {
            "COFFEE_SECRET_KEY": secrets.token_urlsafe(48),
            "COFFEE_PUBLIC_URL": self.url,
            "COFFEE_MQTT_PASSWORD": secrets.token_urlsafe(24),
            "COFFEE_MACHINES_MQTT_URL": f"mqtts://{self.domain}:8883",
            "COFFEE_MACHINES_MQTT_CA": str(ETC / "broker-ca.crt"),
        }
        if self.on_sqlite:
            told["COFFEE_DATABASE_URL"] = f"sqlite:///{STATE}/coffee.db"
        lines = (DEPLOY / "cloud.env.example").read_text(encoding="utf-8").splitlines()
        text = "\n".join(filled(line, told) for line in lines) + "\n"
        self.do("install", "-d", "-m", "0755", ETC)
        self.write(ETC / "cloud.env", text, 0o600)

    def has_settings(self) -> bool:
        return is_there(STATE / ".env") and succeeds("sudo", "-u", "coffee-cloud", "test", "-r", str(STATE / ".env"))

    def hand_over_settings(self) -> None:
        """Also those that somebody brought from another host."""
        self.do("chmod", "0755", ETC)
        self.do("install", "-d", "-m", "0750", "-o", "coffee-cloud", "-g", "coffee-cloud", STATE)
        self.do("ln", "-sfn", ETC / "cloud.env", STATE / ".env")
        self.do("chown", "root:coffee-cloud", ETC / "cloud.env")
        self.do("chmod", "0640", ETC / "cloud.env")

    def is_certified(self) -> bool:
        """One of ours for a month more; one by somebody else is his to renew."""
        made = AUTHORITY / "server.crt"
        if not is_there(SERVER_CERTIFICATE) or not is_there(made):
            return is_there(SERVER_CERTIFICATE)
        is_ours = made.read_bytes() == SERVER_CERTIFICATE.read_bytes()
        ends_later = succeeds("openssl", "x509", "-noout", "-checkend", str(RENEWED_BEFORE_S), "-in", str(made))
        return ends_later or not is_ours

    def certify(self) -> None:
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        key, ca = AUTHORITY / "ca.key", AUTHORITY / "ca.crt"
        request, certificate, server_key = (AUTHORITY / f"server.{end}" for end in ("csr", "crt", "key"))
        name = ["-subj", f"/CN={self.domain}", "-addext", f"subjectAltName=DNS:{self.domain}"]
        self.do("install", "-d", "-m", "0700", AUTHORITY)
        if is_there(key) and not is_there(ca):
            sys.exit(f"{key} has no ca.crt beside it: bring that too, or any machine's copy (its COFFEE_AGENT_MQTT_CA)")
        if not is_there(ca):
            self.do("openssl", "req", "-x509", *curve, "-days", "3650", "-subj", "/CN=coffee broker CA",
                    "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", key, "-out", ca)  # fmt: skip
        self.do("openssl", "req", *curve, *name, "-keyout", server_key, "-out", request)
        self.do("openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", key, "-days", "825",
                "-copy_extensions", "copy", "-out", certificate)  # fmt: skip
        self.do("install", "-m", "0644", ca, ETC / "broker-ca.crt")
        owner = ["-o", "mosquitto", "-g", "mosquitto"]
        self.do("install", "-d", "-m", "0700", *owner, BROKER / "secrets")
        self.do("install", "-m", "0600", *owner, server_key, certificate, BROKER / "secrets")
        if is_there(RIGHTS):  # else its first start, with all that is ours, is still to come
            self.do("systemctl", "try-reload-or-restart", "mosquitto")

    def broker_is_ours(self) -> bool:
        """It has all of ours, and read it."""
        ours = [OPEN_FILES, *(BROKER / "conf.d" / name for name in BROKERS)]
        return all(is_there(file) for file in ours) and listens(8883)

    def set_up_broker(self) -> None:
        for name in BROKERS:
            self.do("install", "-m", "0644", DEPLOY / "mosquitto" / name, BROKER / "conf.d")
        self.do("install", "-D", "-m", "0644", DEPLOY / "systemd" / OPEN_FILES.name, OPEN_FILES)
        if not is_there(RIGHTS):
            begun = self.coffee_cloud("broker-file")
            self.write(RIGHTS, begun, 0o600, owner="mosquitto", group="mosquitto")
        self.do("systemctl", "daemon-reload")
        self.do("systemctl", "restart", "mosquitto")

    def has_units(self) -> bool:
        pairs = [(unit, UNITS / unit.name) for unit in shipped_units()]
        return all(is_there(ours) and ours.read_bytes() == unit.read_bytes() for unit, ours in pairs)

    def start_cloud(self) -> None:
        for unit in shipped_units():
            self.do("install", "-m", "0644", unit, UNITS)
        self.do("systemctl", "daemon-reload")
        self.do("systemctl", "enable", "--quiet", *programs())
        self.do("systemctl", "restart", *programs())
        self.write(PROGRAM / "installed-from", fingerprint(), 0o644)

    def set_up_caddy(self) -> None:
        told = f'[Service]\nEnvironment="SITE={self.site}"\n'
        if not succeeds("sh", "-c", "caddy version | grep -q '^v\\?2[.][0-6][.]'"):  # since 2.7 the word is another one
            told += 'Environment="REQUEST_BUFFERS=request_buffers 128KB"\n'
        self.do("install", "-m", "0644", DEPLOY / "caddy/Caddyfile", "/etc/caddy/Caddyfile")
        self.do("install", "-d", "-m", "0755", CADDYS_SITE.parent)
        self.write(CADDYS_SITE, told, 0o644)
        self.do("systemctl", "daemon-reload")
        self.do("systemctl", "restart", "caddy")

    def wait_ready(self) -> None:
        """By the cloud's own port: a certificate may take Caddy a while, and needs the name to lead here."""
        if self.is_dry:
            print("      wait until http://127.0.0.1:8080/ready answers 200")
            return
        until = time.monotonic() + READY_WITHIN_S
        while not answers_200("http://127.0.0.1:8080/ready"):
            if time.monotonic() > until:
                sys.exit("The service does not get ready: journalctl -u 'coffee-cloud-*' -u mosquitto")
            time.sleep(0.5)

    def has_owner(self) -> bool:
        known = said(*as_coffee_cloud("user", "list")).splitlines()
        return any(line.lower().startswith(f"{self.email.lower()} ") for line in known)

    def make_owner(self) -> None:
        told = self.coffee_cloud("user", "add", self.email, "--admin")
        self.link = next((word for word in told.split() if word.startswith("http")), "")

    # How they are done

    def do(self, *words: object) -> str:
        """Run it, or show it; what it says."""
        command = [str(word) for word in words]
        if self.is_dry:
            print(f"      {shlex.join(command)}")
            return ""
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{shlex.join(command)}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def write(self, file: Path, text: str, mode: int, *, owner: str = "root", group: str = "root") -> None:
        """Never readable by others meanwhile; what is in it is not shown."""
        if self.is_dry:
            print(f"      write {file} ({owner}:{group} {mode:04o})")
            return
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as made:
            made.write(text)
        self.do("chown", f"{owner}:{group}", file)
        file.chmod(mode)

    def coffee_cloud(self, *words: str) -> str:
        """What the program says, run as its own user."""
        return self.do(*as_coffee_cloud(*words))

    def farewell(self) -> str:
        password = self.link or f"coffee-cloud user reset {self.email}, when you have none"
        ends = said("openssl", "x509", "-noout", "-enddate", "-in", str(SERVER_CERTIFICATE)).strip().partition("=")[2]
        return f"""
Coffee Relay runs at {self.url}.
  Choose your password:          {password}
  This host must be reached under {self.domain}, at ports 80, 443 (buyers, provider) and 8883 (machines).
  Keep apart from this host: {ETC}/cloud.env, and of {AUTHORITY} ca.key and ca.crt.
  The broker's certificate ends: {ends}; run this again in the month before (an alert reminds you)
  A merchant, machines, drinks:  coffee-cloud apply {ETC}/fleet.toml, begun with deploy/fleet.toml.example
  Who runs them later:           {self.url}/console
  A machine:                     coffee-cloud enroll DEVICE_UUID, then docs/operations.md, "Enrolling a machine"
  All commands:                  {shlex.join(as_coffee_cloud("--help"))}"""


def filled(line: str, told: "dict[str, str]") -> str:
    """A line of the example, with our value."""
    name = line.lstrip("#").partition("=")[0]
    return f"{name}={told[name]}" if name in told else line


def shipped_units() -> "list[Path]":
    return sorted((DEPLOY / "systemd").glob("coffee-cloud-*.service"))


def programs() -> "list[str]":
    """What this host runs: the worker, unless somebody put `run` in its place. What was given up is not begun anew."""
    kinds = (RUN, f"{WORKER}.service")
    listed = said("systemctl", "list-units", "--plain", "--no-legend", "--state=active,activating,failed", *kinds)
    units = [line.split()[0] for line in listed.splitlines()]
    wanted = [unit for unit in units if is_active(unit) or succeeds("systemctl", "is-enabled", unit)]
    return [*(wanted or [WORKER]), WEB]


def fingerprint() -> str:
    """Of everything that is installed."""
    found = hashlib.sha256()
    parts = [SOURCE / name for name in ("requirements/runtime.txt", *INSTALLED)]
    inside = (path for part in parts for path in ([part] if part.is_file() else part.rglob("*")))
    for path in sorted(inside):
        if path.is_file() and "__pycache__" not in path.parts:
            found.update(str(path.relative_to(SOURCE)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def as_coffee_cloud(*words: str) -> "list[str]":
    """A command by hand, as docs/operations.md has it: by systemd where secrets are credentials."""
    how = ["sudo", "-u", "coffee-cloud", "sh", "-c", f'cd {STATE} && exec "$@"', "sh"]
    if loaded := credentials():
        place = [f"WorkingDirectory={STATE}", f"EnvironmentFile={ETC}/cloud.env"]
        given = [word for each in ("User=coffee-cloud", "UMask=0077", *place, *loaded) for word in ("-p", each)]
        how = ["sudo", "systemd-run", "--pipe", "--wait", "--collect", "--quiet", *given]
    return [*how, str(PROGRAM / "bin/coffee-cloud"), *words]


def credentials() -> "list[str]":
    """What the drop-in for secrets loads, the worker's before others; nothing where there is none."""
    drop_in = max(UNITS.glob("coffee-cloud-*.service.d/credentials.conf"), default=None)
    lines = drop_in.read_text(encoding="utf-8").splitlines() if drop_in is not None else []
    return [line.strip() for line in lines if line.startswith("LoadCredential=")]


def is_installed(package: str) -> bool:
    """Whole: what apt was interrupted in is known to dpkg as well."""
    return "ok installed" in said("dpkg-query", "--show", "--showformat=${Status}", package)


def said(*words: str) -> str:
    """Nothing, where there is no such program."""
    try:
        return subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, text=True, check=False).stdout
    except FileNotFoundError:
        return ""


def succeeds(*words: str) -> bool:
    try:
        return subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0
    except FileNotFoundError:
        return False


def is_there(file: Path) -> bool:
    try:
        return file.exists()
    except PermissionError:  # a dry run by somebody else than root
        return False


def is_active(*units: str) -> bool:
    return all(succeeds("systemctl", "is-active", "--quiet", unit) for unit in units)


def listens(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


def answers_200(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def main() -> None:
    parser = argparse.ArgumentParser(prog="trial", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--domain", required=True, help="the name under which buyers and machines reach this host")
    parser.add_argument("--email", required=True, help="of the first user, an admin of the platform")
    kinds = ["postgresql", "sqlite"]
    parser.add_argument("--database", choices=kinds, default="postgresql", help="sqlite: to look at it")
    parser.add_argument("--plain-http", action="store_true", help="no certificate: only in a network of your own")
    parser.add_argument("--dry-run", action="store_true", help="show every step, change nothing")
    wishes = parser.parse_args()
    if not wishes.dry_run and os.geteuid() != 0:
        parser.exit(WRONG_USAGE, "trial must be run as root (sudo), or with --dry-run\n")
    if not wishes.dry_run and not Path("/etc/debian_version").exists():
        parser.exit(WRONG_USAGE, "trial knows Debian (12 or newer); deploy/README.md has the steps for other hosts\n")
    trial = Trial(wishes)
    if os.geteuid() == 0 and (why := trial.contradiction()):
        parser.exit(WRONG_USAGE, f"{why}\n")
    trial.run()
    if not trial.is_dry:
        print(trial.farewell())


if __name__ == "__main__":
    main()
