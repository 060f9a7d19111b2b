"""compose.yaml, read by lines for there is no YAML library here, and by Compose itself where its client is."""

import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.deploy.compose_file import read
from tests.deploy.shipped import DEPLOY, ROOT, open_files, settings_in
from tests.real_parts import missing
from tests.shell import blocks, section

TEXT = (DEPLOY / "compose.yaml").read_text()
SERVICES = {"postgres", "mosquitto", "migrate", "web", "worker", "caddy"}


def keys(block: str, indent: int) -> set[str]:
    """The keys of a block that stand at this indentation."""
    return set(re.findall(rf"^ {{{indent}}}([\w<-]+):", block, re.MULTILINE))


def block(name: str, indent: int = 0, within: str = TEXT) -> str:
    """What belongs to one key."""
    pad = " " * indent
    found = re.search(rf"^{pad}{name}:.*\n((?:{pad} +.*\n|\n)*)", within, re.MULTILINE)
    assert found, f"no {name}"
    return found[1]


def services() -> Iterator[tuple[str, str]]:
    for name in SERVICES:
        yield name, block(name, 2, block("services"))


def compose() -> list[str] | None:
    """The client of Compose: today's, or version 1, which Debian 12 has."""
    for words in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(words[0]) is not None:
            says = subprocess.run([*words, "version"], capture_output=True, check=False, timeout=60)
            if says.returncode == 0:
                return words
    return None


def test_compose_itself_reads_the_file(tmp_path: Path) -> None:
    client = compose()
    if client is None:
        missing("Compose: missing (install docker-compose, or Docker's compose plugin)")
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    if client == ["docker-compose"]:  # version 1 knows all but the project's name
        (tmp_path / "deploy" / "compose.yaml").write_text(TEXT.replace("\nname: ", "\nx-name: ", 1))
    shutil.copy(DEPLOY / "cloud.env.example", tmp_path / "deploy" / "cloud.env")
    filled = {name: value or "x" for name, value in settings_in("compose.env.example").items()}
    (tmp_path / "deploy" / ".env").write_text("".join(f"{name}={value}\n" for name, value in filled.items()))

    read = subprocess.run(
        [*client, "config", "--quiet"],
        cwd=tmp_path / "deploy",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (read.returncode, read.stderr) == (0, "")


def test_the_file_is_in_the_shape_these_tests_read() -> None:
    assert "\t" not in TEXT
    assert all(len(line) - len(line.lstrip(" ")) in {0, 2, 4, 6, 8, 10} for line in TEXT.splitlines())
    assert keys(TEXT, 0) == {"name", "x-cloud", "services", "volumes", "networks"}
    assert keys(block("services"), 2) == SERVICES


def test_every_network_and_volume_that_is_used_is_there() -> None:
    networks, volumes = keys(block("networks"), 2), keys(block("volumes"), 2)
    for name, text in services():
        joined = re.search(r"networks: \[(.*)\]", text)
        assert joined, f"{name} is in no network of its own choice"
        assert set(joined[1].split(", ")) <= networks
        assert set(re.findall(r"[\s\"]([a-z]+):/(?!/)", text)) <= volumes


def test_every_file_that_is_mounted_is_shipped_but_for_the_secrets() -> None:
    mounted = re.findall(r"- \./(\S+?):", TEXT)
    assert {name for name in mounted if not (DEPLOY / name).exists()} <= {"secrets/mosquitto", "secrets/cloud"}


def test_every_image_has_a_version() -> None:
    images = re.findall(r"image: (\S+)", TEXT)
    assert all(re.search(r":(\d[\d.]*|local)$", image) for image in images), images


def test_only_the_machines_listener_and_https_are_open_to_the_world() -> None:
    opened = {name: re.findall(r'"([\d:]+)(?:/udp)?"', found) for name, text in services() for found in ports(text)}
    assert opened == {"mosquitto": ["8883:8883"], "caddy": ["80:80", "443:443", "443:443"]}


def ports(text: str) -> list[str]:
    return re.findall(r"ports: \[(.*)\]", text)


def test_whatever_compose_must_be_told_is_in_its_example() -> None:
    assert set(re.findall(r"\$\{([A-Z_]+)", TEXT)) == set(settings_in("compose.env.example"))


def test_the_proxy_that_is_trusted_is_the_network_the_proxy_is_in() -> None:
    trusted = re.search(r"COFFEE_TRUSTED_PROXIES: (\S+)", TEXT)
    assert trusted
    assert f"subnet: {trusted[1]}" in block("edge", 2, block("networks"))
    assert {name for name, text in services() if re.search(r"\bedge\b", text)} == {"web", "caddy"}


def test_the_image_is_made_of_files_that_are_there_and_runs_without_rights() -> None:
    recipe = (DEPLOY / "Dockerfile").read_text()
    for words in re.findall(r"^COPY (?!--from)(.+)$", recipe, re.MULTILINE):
        for source in words.split()[:-1]:
            assert (ROOT / source).exists()
    assert "--require-hashes" in recipe
    assert recipe.index("USER 10001") < recipe.index("ENTRYPOINT")
    assert not re.search(r"COFFEE_|PASSWORD|SECRET", recipe)


def test_the_broker_has_a_socket_for_each_machine() -> None:
    assert f"nofile: {open_files()}" in block("mosquitto", 2, block("services"))


def test_the_database_is_well_when_it_answers_by_the_network() -> None:
    """While a new one is made, a server answers by its socket alone, and `migrate` would find nobody."""
    asked = re.search(r"test: (\[.*pg_isready.*\])", block("postgres", 2, block("services")))
    assert asked
    assert '"--host=127.0.0.1"' in asked[1]


def test_a_program_of_ours_ends_when_asked_while_it_waits_for_its_database() -> None:
    """As the first process of its container, without a handler yet, it would not hear of it."""
    ours = [
        service
        for service in read(DEPLOY / "compose.yaml", defaultdict(str))["services"].values()
        if "build" in service
    ]
    assert len(ours) == 3
    assert all(service["init"] is True for service in ours)


def test_updating_makes_anew_who_has_a_file_of_ours_by_itself() -> None:
    """A container goes on with the file it was made with, whatever has come in its place."""
    with_files = {name for name, text in services() if re.search(r"- \./(?!secrets/)\S+:ro", text)}
    [commands] = [one for one in blocks(section(ROOT / "docs/operations.md", "Updating")) if "docker compose" in one]
    assert f"up --detach --force-recreate {' '.join(sorted(with_files))}" in commands
