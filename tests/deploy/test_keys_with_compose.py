"""Keys changed with Compose, by the steps of docs/operations.md: who is to know a new secret learns it first.

Docker is a stand-in, which notes what it is asked and which secrets the files have by then.
"""

from pathlib import Path

import pytest

from tests.deploy.shipped import ROOT
from tests.shell import Shell, blocks, section

OPERATIONS = ROOT / "docs" / "operations.md"
FUNCTIONS = blocks(section(OPERATIONS, "Changing keys"))[0]
DEFINITIONS, CERTIFICATE, DATABASE = blocks(section(OPERATIONS, "With Compose"))
DOCKER = """\
#!/bin/sh
{ echo "docker $*"; cat; cat cloud.env .env; } >> told
"""
OLD = "the-old-one"


class Deploy:
    """The folder `deploy` with its settings, and a shell there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shell = Shell(folder / "stand-ins", {}, lambda _: None)
        (folder / "stand-ins" / "docker").write_text(DOCKER)
        (folder / "stand-ins" / "docker").chmod(0o755)
        (folder / "cloud.env").write_text(f"COFFEE_MQTT_PASSWORD={OLD}\n")
        (folder / ".env").write_text(f"SITE=shop.example\nPOSTGRES_PASSWORD={OLD}\n")

    def asked(self, *commands: str) -> list[str]:
        """What Docker was asked, each with the files of that moment."""
        self._shell.run(FUNCTIONS, DEFINITIONS, *commands, cwd=self._folder)
        return (self._folder / "told").read_text().split("docker compose ")[1:]

    def value(self, file: str, name: str) -> str:
        lines = (self._folder / file).read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)[name]


@pytest.fixture
def deploy(tmp_path: Path) -> Deploy:
    return Deploy(tmp_path)


def test_the_database_learns_its_password_before_the_programs_do(deploy: Deploy) -> None:
    told, brought_up = deploy.asked(DATABASE)
    new = deploy.value(".env", "POSTGRES_PASSWORD")
    assert told.startswith("exec -T postgres psql ")
    assert f"ALTER ROLE coffee PASSWORD '{new}'" in told
    assert f"POSTGRES_PASSWORD={OLD}" in told
    assert new not in told.partition("\n")[0], "an argument is seen by everybody"
    assert brought_up.startswith("up --detach\n")
    assert new != OLD
    assert f"POSTGRES_PASSWORD={new}" in brought_up


def test_the_broker_learns_the_clouds_password_before_the_programs_do(deploy: Deploy) -> None:
    [change] = blocks(section(OPERATIONS, "The cloud's password at the broker"))
    told, brought_up = deploy.asked(
        change.replace("sudo systemctl restart 'coffee-cloud-*'", "docker compose up --detach")
    )
    new = deploy.value("cloud.env", "COFFEE_MQTT_PASSWORD")
    assert told.startswith(f"run --rm -T worker broker-password\n{new}\n")
    assert f"COFFEE_MQTT_PASSWORD={OLD}" in told
    assert brought_up.startswith("up --detach\n")
    assert f"COFFEE_MQTT_PASSWORD={new}" in brought_up


def test_the_broker_is_told_of_a_new_certificate_where_it_has_it(deploy: Deploy, tmp_path: Path) -> None:
    (tmp_path / "secrets" / "mosquitto").mkdir(parents=True)
    for name in ("server.crt", "server.key"):
        (tmp_path / name).write_text(name)
    [told] = deploy.asked(CERTIFICATE)
    assert told.startswith("kill -s HUP mosquitto\n")
    assert (tmp_path / "secrets" / "mosquitto" / "server.key").read_text() == "server.key"
