"""From a fresh Debian to coffees, on a live systemd under the shipped units: `deploy/trial.py`, then a machine by the
steps of deploy/README.md and docs/operations.md as they stand; units restarted, the host switched off and on, the agent
brought to another version by a signed bundle.
"""

import re
import resource
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.agent.update.bundles import NEWER, Shelf, appended
from tests.deploy.container import NAME, SOURCE, Container, fetch_wheels, make_root, needed
from tests.deploy.shipped import DEPLOY, ROOT, UNITS, open_files, trial
from tests.shell import blocks, section
from tests.system.fleet import KEY_VARIABLE, SHOP, SHOP_KEY, fleet_toml
from tests.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("a booted Debian"), pytest.mark.timeout(1800)]
OURS = [unit.stem for unit in UNITS if not unit.stem.endswith("@")]
BIN = "/opt/coffee-relay/bin"
SOLD = "order successful, payment succeeded, cups 1"
WORST_EXPOSURE = 2.0
"""Of 10, as `systemd-analyze security` counts."""
NO_CAPABILITY_NO_PRIVILEGE_A_FILTER = {"CapBnd": "0000000000000000", "NoNewPrivs": "1", "Seccomp": "2"}
SIMULATORS = {
    "provider": f"""\
DynamicUser=yes
ExecStart={BIN}/coffee-simulator yookassa --port 8090 --shop {SHOP}:{SHOP_KEY} --webhook http://{NAME}/v1/yook-pay-webhook
""",
    "machine": f"""\
User=coffee-agent
RuntimeDirectory=machine
ExecStart={BIN}/coffee-simulator machine --tty /run/machine/tty --http 8091 --cloud-url http://{NAME} --brew-seconds 1
""",
}
FUNCTIONS = f'coffee-cloud() {{ (cd /var/lib/coffee-cloud && sudo -u coffee-cloud {BIN}/coffee-cloud "$@"); }}\n'


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `root`, never booted, and `wheels`."""
    needed()
    folder = tmp_path_factory.mktemp("debian")
    try:
        fetch_wheels(folder / "wheels")
        make_root(folder / "root", [*trial().PACKAGES, "postgresql"])
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def host(fresh: Path, tmp_path: Path) -> Iterator[Container]:
    root = tmp_path / "root"
    try:
        subprocess.run(["cp", "-a", fresh / "root", root], check=True)
        with Container(root, fresh / "wheels", tmp_path / "boot.log") as booted:
            yield booted
    finally:
        shutil.rmtree(root)


@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_from_a_fresh_debian_to_coffees(database: str, host: Container, tmp_path: Path) -> None:
    command = f"python3 {SOURCE}/deploy/trial.py --domain {NAME} --email o@shop.test --plain-http --database {database}"
    assert f"http://{NAME}/console/welcome/" in host.run(command)
    before = state(host)
    assert host.run(command).count(": there already") == 10 + (database == "postgresql")
    assert state(host) == before

    shelf = Shelf(tmp_path / "shelf", "")
    tell_the_cloud(host, shelf)
    install_the_machine(host)
    enrol(host)
    assert bought(host) == SOLD
    limits = host.run("cat /proc/$(systemctl show -p MainPID --value mosquitto)/limits")
    [allowed] = re.findall(r"^Max open files +(\d+)", limits, re.M)
    assert int(allowed) == min(open_files(), resource.getrlimit(resource.RLIMIT_NOFILE)[1]), "as far as this host goes"
    assert_held(host, *OURS)
    host.run(f"systemctl restart {'postgresql' if database == 'postgresql' else ''} mosquitto caddy {' '.join(OURS)}")
    assert bought(host) == SOLD
    if database == "postgresql":
        assert_held(host, *replace_the_worker(host))
        assert bought(host) == SOLD
    host.boot_again()
    assert bought(host) == SOLD

    assert "1 done" in brought_out(host, shelf, NEWER, "")
    assert bought(host) == SOLD
    crashing = "if 'run' in __import__('sys').argv: raise SystemExit(3)"
    assert "rolled_back" in brought_out(host, shelf, "0.3.0", crashing)
    status = f"sudo -u coffee-agent {BIN}/coffee-agent status || true"  # back for a moment only, it does not sell yet
    assert f"version {NEWER}" in host.run(status, "/var/lib/coffee-agent")
    assert bought(host) == SOLD
    change_the_secret_key_as_a_credential(host)
    assert bought(host) == SOLD


def state(host: Container) -> str:
    """Programs that run, and every file a second run could write."""
    files = "find /etc /opt/coffee-relay /var/lib/coffee-cloud/.env -type f -printf '%p %T@ %m %u %g\\n' | sort"
    return host.run(f"systemctl show -p MainPID mosquitto caddy coffee-cloud-web coffee-cloud-worker; {files}")


def tell_the_cloud(host: Container, shelf: Shelf) -> None:
    """A provider, the fleet, and who signs versions of the agent."""
    more = (
        "COFFEE_YOOKASSA_URL=http://127.0.0.1:8090/v3", "COFFEE_YOOKASSA_WEBHOOK_NETWORKS=127.0.0.1/32",
        f"COFFEE_RELEASE_KEYS={shelf.public}", f"{KEY_VARIABLE}={SHOP_KEY}",
    )  # fmt: skip
    host.append("/etc/coffee-relay/cloud.env", "\n".join(more))
    host.append("/etc/coffee-relay/fleet.toml", fleet_toml(["m-001"], "on_dispense"))
    host.run("systemctl restart coffee-cloud-worker coffee-cloud-web")
    host.run(f"{FUNCTIONS}coffee-cloud apply /etc/coffee-relay/fleet.toml")


def install_the_machine(host: Container) -> None:
    """The steps of deploy/README.md but those of a serial adapter; simulators in place of machine and provider."""
    steps, _ = blocks(section(DEPLOY / "README.md", "On a coffee machine"))
    host.run("\n".join(line for line in steps.splitlines() if "udev" not in line), f"{SOURCE}/deploy")
    for name, service in SIMULATORS.items():
        unit = f"[Service]\n{service}[Install]\nWantedBy=multi-user.target"
        host.append(f"/etc/systemd/system/{name}.service", unit)
    host.run(f"systemctl enable --now {' '.join(SIMULATORS)}")


def enrol(host: Container) -> None:
    """The steps of docs/operations.md."""
    steps = next(one for one in blocks(section(ROOT / "docs/operations.md", "Enrolling a machine")) if "ABCD" in one)
    ask, _, settle = steps.partition("\n")
    code = re.findall(r"\b[A-Z]{4}-[A-Z]{4}\b", host.run(FUNCTIONS + ask))[-1]
    told = {"https://pay.example.org": f"http://{NAME}", "ABCD-EFGH": code, "/dev/coffee-machine": "/run/machine/tty"}
    for example, ours in told.items():
        settle = settle.replace(example, ours)
    *restart, doctor = settle.splitlines()
    host.run("\n".join(restart))
    assert bought(host) == SOLD
    assert "bad" not in host.run(doctor)


def replace_the_worker(host: Container) -> list[str]:
    """The step of docs/operations.md; the units it starts, which keep to one processor."""
    [step] = [one for one in blocks(section(ROOT / "docs/operations.md", "What runs")) if "coffee-cloud-run@" in one]
    units = sorted(set(re.findall(r"coffee-cloud-run@\d+", step)))
    host.run(step)
    for unit in units:
        wait_until(partial(has_chosen, host, unit), 120.0, what=f"{unit} to choose its processor")
    return units


def change_the_secret_key_as_a_credential(host: Container) -> None:
    """The secrets go from `cloud.env` into files; then the steps of docs/operations.md."""
    document, secrets = ROOT / "docs/operations.md", "/etc/coffee-relay/credentials"
    host.run(
        f"install -d -m 0700 {secrets}; cp {SOURCE}/deploy/systemd/credentials.conf /etc/coffee-relay/cloud.env /root"
    )
    for name in re.findall(r"^LoadCredential=(\w+)", (DEPLOY / "systemd/credentials.conf").read_text(), re.M):
        host.run(f"""
            (umask 077 && sed -n 's/^{name}=//p' /root/cloud.env > {secrets}/{name})
            sed -i '/^{name}=/d' /etc/coffee-relay/cloud.env
            [ -s {secrets}/{name} -o {name} = COFFEE_OLD_SECRET_KEYS ] || sed -i '/={name}:/d' /root/credentials.conf
        """)
    for unit in ("web", "worker", "run@"):
        host.run(f"install -D -m 0644 /root/credentials.conf -t /etc/systemd/system/coffee-cloud-{unit}.service.d")
    host.run("systemctl daemon-reload; systemctl restart 'coffee-cloud-*'")
    by_lines, by_systemd = section(document, "Changing keys"), section(document, "Secrets as credentials")
    change, _ = blocks(section(document, "The secret key of the installation"))
    host.run("\n".join([blocks(by_lines)[0], *blocks(by_systemd), change]))
    assert "," in host.run(f"cat {secrets}/COFFEE_OLD_SECRET_KEYS")


def has_chosen(host: Container, unit: str) -> bool:
    return "threads stay on processor" in host.run(f"journalctl -u {unit} -o cat")


def bought(host: Container) -> str:
    """What became of an order, its payment and its drink."""
    return host.run(f"PYTHONDONTWRITEBYTECODE=1 {BIN}/python -m tests.deploy.one_coffee", SOURCE).strip()


def assert_held(host: Container, *units: str) -> None:
    """None has fallen over, and their hardening is in force."""
    for unit in units:
        assert_one_held(host, unit)


def assert_one_held(host: Container, unit: str) -> None:
    assert host.run(f"systemctl show -p NRestarts --value {unit}").strip() == "0"
    assert '"level":"error"' not in host.run(f"journalctl -u {unit} -o cat").replace(": ", ":")
    status = host.run(f"cat /proc/$(systemctl show -p MainPID --value {unit})/status")
    assert (
        dict(re.findall(r"^(CapBnd|NoNewPrivs|Seccomp):\s+(\w+)$", status, re.M)) == NO_CAPABILITY_NO_PRIVILEGE_A_FILTER
    )
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", host.run(f"systemd-analyze security {unit}"))
    assert exposure
    assert float(exposure[1]) < WORST_EXPOSURE


def brought_out(host: Container, shelf: Shelf, version: str, more: str) -> str:
    """What the rollout says at its end."""
    bundle = shelf.put(version, {"agent/service.py": appended(more)})
    there = f"/var/lib/coffee-cloud/{version}.bundle"
    host.append(there, bundle.content)
    host.run(f"{FUNCTIONS}coffee-cloud release add {there}; coffee-cloud release start {version} --waves all --soak 1s")
    said: list[str] = []

    def is_over() -> bool:
        said.append(host.run(f"{FUNCTIONS}coffee-cloud release status || true"))
        return re.search(rf"{version}: (done|stopped)", said[-1]) is not None

    wait_until(is_over, 300.0, what="the rollout's end")
    return said[-1]
