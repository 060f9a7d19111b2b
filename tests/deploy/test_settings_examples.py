"""The examples of settings: complete, without a secret, and nothing in them that the programs do not know."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from agent.log import start as start_agent_log
from agent.settings import BadSettings
from agent.settings import Settings as AgentSettings
from cloud.settings import Settings as CloudSettings
from cloud.settings import SettingsError
from tests.deploy.shipped import DEPLOY, ROOT, settings_in

SECRET = "a secret of a test of forty characters all"
CLOUD_NAMES = {f"COFFEE_{field.name.upper()}" for field in fields(CloudSettings)}


class Asked(dict[str, str]):
    """An environment that remembers what was looked for in it."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.names: set[str] = set()

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]  # a default is always text here
        self.names.add(name)
        return super().get(name, default)


def names_the_agent_reads() -> set[str]:
    """Whatever the agent looks for when all it requires is there."""
    asked = Asked(
        {
            "COFFEE_AGENT_DEVICE_UUID": "m-001",
            "COFFEE_AGENT_MQTT_URL": "mqtt://127.0.0.1",
            "COFFEE_AGENT_SERIAL": "/dev/null",
        }
    )
    AgentSettings.from_env(asked)
    start_agent_log(asked)
    return asked.names


def test_the_cloud_knows_every_setting_of_its_example() -> None:
    assert set(settings_in("cloud.env.example", offered=True)) <= CLOUD_NAMES


def test_the_cloud_knows_every_setting_of_the_compose_file() -> None:
    lines = (DEPLOY / "compose.yaml").read_text().splitlines()
    named = {line.split(":")[0].strip() for line in lines if line.strip().startswith("COFFEE_")}
    assert named
    assert named <= CLOUD_NAMES


def test_the_agent_reads_every_setting_of_its_example() -> None:
    offered = set(settings_in("agent.env.example", offered=True))
    assert "COFFEE_AGENT_MQTT_CA" in offered
    assert offered <= names_the_agent_reads()


def test_the_clouds_example_is_complete_but_for_its_secrets() -> None:
    example = settings_in("cloud.env.example")
    with pytest.raises(SettingsError, match="COFFEE_SECRET_KEY") as refusal:
        CloudSettings.from_env(example)
    assert len(str(refusal.value).splitlines()) == 1

    settings = CloudSettings.from_env(example | {"COFFEE_SECRET_KEY": SECRET, "COFFEE_MQTT_PASSWORD": "x"})
    assert settings.database_url.startswith("postgresql+psycopg://")
    assert settings.trusted_proxies


def test_the_agents_example_is_complete_but_for_its_password() -> None:
    settings = AgentSettings.from_env(settings_in("agent.env.example") | {"COFFEE_AGENT_MQTT_PASSWORD": "x"})
    assert settings.broker.tls
    assert settings.broker.user == settings.device_uuid


def test_an_agents_example_with_a_wrong_certificate_path_is_refused_in_words(tmp_path: Path) -> None:
    missing = tmp_path / "broker-ca.crt"
    with pytest.raises(BadSettings, match=r"there is no file .*broker-ca\.crt"):
        AgentSettings.from_env(settings_in("agent.env.example") | {"COFFEE_AGENT_MQTT_CA": str(missing)})


@pytest.mark.parametrize("name", ["cloud.env.example", "agent.env.example", "compose.env.example"])
def test_no_example_holds_a_secret(name: str) -> None:
    secrets = {key: value for key, value in settings_in(name, offered=True).items() if is_secret(key)}
    assert secrets
    assert not any(secrets.values())


def is_secret(name: str) -> bool:
    return name.endswith(("_PASSWORD", "_SECRET_KEY", "_SECRET_KEYS", "_TOKEN"))


@pytest.mark.parametrize("page", ["deploy/README.md", "docs/operations.md"])
def test_every_link_and_every_setting_of_a_page_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    known = CLOUD_NAMES | names_the_agent_reads() | {"COFFEE_AGENT_STATE_DIR"}
    assert not set(re.findall(r"COFFEE_[A-Z_]*[A-Z]", text)) - known
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links
    assert not [link for link in links if link and not (ROOT / page).parent.joinpath(link).exists()]
