"""deploy/Dockerfile's steps, run without a container engine, and compose.yaml as we read it, held to Compose's reading.

What that cannot show is named in docs/operations.md, "What was tried".
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy import compose_file
from tests.deploy.image import NOT_DONE, Image, python_version, steps
from tests.deploy.shipped import DEPLOY, settings_in
from tests.deploy.test_compose import compose
from tests.real_parts import missing


def test_the_steps_stay_in_their_places_and_the_build_is_given_what_they_copy(tmp_path: Path) -> None:
    image = Image(tmp_path, "python")
    known = {"FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}
    assert {step.word for step in steps()} <= known
    for step in steps():
        if step.word == "RUN":
            image.here(step.rest)
        if step.word == "COPY":
            image.workdir = "/src"
            image._do_copy(step.rest)
    copied = {path.name for path in (tmp_path / "src").iterdir()}
    assert copied == {"requirements", "pyproject.toml", "README.md", "protocol", "cloud"}
    assert not list(tmp_path.rglob("__pycache__"))


def test_our_reading_of_the_file_is_composes_own(tmp_path: Path) -> None:
    client = compose()
    if client is None:
        missing("Compose: missing (install docker-compose, or Docker's compose plugin)")
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    if client == ["docker-compose"]:  # version 1 knows all but the project's name
        copy = tmp_path / "deploy" / "compose.yaml"
        copy.write_text(copy.read_text().replace("\nname: ", "\nx-name: ", 1))
    shutil.copy(DEPLOY / "cloud.env.example", tmp_path / "deploy" / "cloud.env")
    filled = {name: value or "x" for name, value in settings_in("compose.env.example").items()}
    (tmp_path / "deploy" / ".env").write_text("".join(f"{name}={value}\n" for name, value in filled.items()))
    said = subprocess.run([*client, "config"], cwd=tmp_path / "deploy", capture_output=True, text=True, check=True)
    theirs = compose_file.parse(said.stdout)["services"]
    ours = compose_file.read(DEPLOY / "compose.yaml", filled)["services"]
    assert theirs.keys() == ours.keys()
    for name, service in ours.items():
        read = theirs[name]
        assert read["image"] == service["image"]
        assert (read.get("command") or []) == service.get("command", [])
        assert set(read.get("depends_on", {})) == set(service.get("depends_on", {}))
        assert service.get("environment", {}).items() <= read.get("environment", {}).items()
        assert read.get("healthcheck", {}).get("test") == service.get("healthcheck", {}).get("test")


def shipped_python() -> str:
    """The Python that is shipped, as `.ci/shipped-python` finds it."""
    version = python_version()
    home = Path.home()
    places = [
        *sorted(home.glob(f".pyenv/versions/{version}.*/bin/python{version}")),
        *home.glob(f".cache/coffee-relay/python{version}/bin/python{version}"),
    ]
    found = [str(place) for place in (shutil.which(f"python{version}"), *places) if place is not None]
    starts = [one for one in found if subprocess.run([one, "-V"], capture_output=True, check=False).returncode == 0]
    return starts[0] if starts else missing(f"Python {version} of the image: missing (.ci/shipped-python makes it)")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_image_is_made_by_its_own_steps_and_its_program_runs(tmp_path: Path) -> None:
    image = Image(tmp_path / "image", shipped_python())
    image.build()
    assert {line.split()[0] for line in image.asked} == set(NOT_DONE)
    assert image.entrypoint == ["/opt/coffee-relay/bin/coffee-cloud"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", image.user)
    settings = {
        "COFFEE_SECRET_KEY": "a secret text of more than thirty-two characters",
        "COFFEE_MQTT_USER": "coffee-cloud",
        "COFFEE_MQTT_PASSWORD": "long-and-made-by-chance",
    }
    said = subprocess.run(
        image.command("broker-file"), env=image.environment | settings, cwd=tmp_path, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert '"coffee-cloud"' in said.stdout
