"""An authority made by our instructions is one that OpenSSL takes at its strictest, as Python does from 3.13 on."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.shipped import DEPLOY, ROOT
from tests.shell import Shell, blocks, section

INSTRUCTIONS = DEPLOY / "README.md"
OPERATIONS = ROOT / "docs" / "operations.md"
_AUTHORITY = re.compile(r"openssl req -x509 .*?-out (?:\S+/)?(?P<name>\S+)\.crt", re.DOTALL)


def of_a_trial() -> str:
    asked = [sys.executable, str(DEPLOY / "trial.py"), "--domain", "a.example", "--email", "a@a.example", "--dry-run"]
    shown = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return re.sub(r"/\S+/(ca\.\w+)", r"\1", shown)


def test_each_authority_of_ours_and_what_it_signs_stand_the_strictest_look(tmp_path: Path) -> None:
    made = [*blocks(section(INSTRUCTIONS, "The broker's secrets")), OPERATIONS.read_text(), of_a_trial()]
    commands = [
        (found[0], found["name"]) for text in made for found in _AUTHORITY.finditer(text) if "keyCertSign" in found[0]
    ]
    assert [name for _, name in commands] == ["ca", "new-ca", "new-machines-ca", "ca"]
    _, _, signing = made[0].partition("-out ca.crt\n")
    for number, (command, name) in enumerate(commands):
        folder = tmp_path / str(number)
        folder.mkdir()
        named = signing.replace("-CA ca.crt -CAkey ca.key", f"-CA {name}.crt -CAkey {name}.key")
        subprocess.run(["bash", "-ec", f"{command}\n{named}"], cwd=folder, check=True, capture_output=True)
        judged = subprocess.run(
            ["openssl", "verify", "-x509_strict", "-CAfile", f"{name}.crt", "server.crt"],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert judged.returncode == 0, f"{command}\n{judged.stderr}"


@pytest.mark.parametrize("name", ["enrolled-broker-ca.crt", "broker-ca.crt", "our own.crt"])
@pytest.mark.parametrize("quote", ["", "'"])
def test_a_new_authority_reaches_the_file_that_the_machine_reads(name: str, quote: str, tmp_path: Path) -> None:
    """One enrolled by the program now, one by a program of before, and one set by hand."""
    own, asked = tmp_path / name, list[list[str]]()
    (tmp_path / "agent.env").write_text(f"COFFEE_AGENT_LOG=json\nCOFFEE_AGENT_MQTT_CA={quote}{own}{quote}\n")
    shell = Shell(tmp_path / "stand-ins", {"/etc/coffee-relay": str(tmp_path)}, asked.append)
    steps = [block for block in blocks(section(OPERATIONS, "The broker's authority")) if "agent.env" in block]
    for given, step in zip(("both.crt", "ca.crt"), steps, strict=True):
        (tmp_path / given).write_text(given)
        _, _, on_the_machine = step.partition("# the cloud's\n")
        shell.run(on_the_machine, cwd=tmp_path)
        assert own.read_text() == given
    assert asked.count(["systemctl", "restart", "coffee-agent"]) == 2
    (tmp_path / "agent.env").write_text("")
    with pytest.raises(AssertionError, match="ended with 1"):
        shell.run(on_the_machine, cwd=tmp_path)
