"""The settings: read once, all problems at once, no secret shown, every one of them documented."""

import re
import sys
from base64 import b64encode
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.settings import BadSettings
from agent.settings import Settings as AgentSettings
from cloud.cli import main
from cloud.http.addresses import parse_networks
from cloud.orders.order_limits import OrderLimits
from cloud.settings import Settings, SettingsError, read_dotenv
from cloud.wiring import rules_of

KEY = {"COFFEE_SECRET_KEY": "k" * 32}
AGENT = {
    "COFFEE_AGENT_DEVICE_UUID": "m-001", "COFFEE_AGENT_MQTT_URL": "mqtt://127.0.0.1",
    "COFFEE_AGENT_SERIAL": "/dev/ttyS0",
}  # fmt: skip
DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def problems(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(KEY | environ)
    return str(caught.value).splitlines()


def test_only_the_secret_key_must_be_given() -> None:
    settings = Settings.from_env(KEY)
    assert settings == Settings("k" * 32, yookassa_webhook_networks=settings.yookassa_webhook_networks)
    assert settings.address == ("127.0.0.1", 8080)
    assert settings.yookassa_webhook_networks is not None
    assert len(settings.yookassa_webhook_networks) > 5, "the published list"


def test_defaults_are_the_contracts() -> None:
    settings = Settings.from_env(KEY)
    assert (settings.order_expiration_s, settings.fast_track_s, settings.make_deadline_s) == (900, 300, 60)
    assert (settings.ack_timeout_s, settings.make_timeout_s, settings.uncertain_grace_s) == (75, 300, 300)
    assert (settings.manual_make_s, settings.payment_poll_fast_s, settings.payment_poll_slow_s) == (1800, 2, 60)
    assert settings.mqtt_url == "mqtt://127.0.0.1:1883"
    assert settings.yookassa_url == "https://api.yookassa.ru/v3"
    assert settings.public_url == "http://127.0.0.1:8080"


def test_what_tests_try_orders_by_are_the_settings_defaults() -> None:
    assert rules_of(Settings.from_env(KEY)) == OrderLimits()


def test_durations_take_fractions() -> None:
    settings = Settings.from_env(KEY | {"COFFEE_MAKE_DEADLINE_S": "0.25", "COFFEE_ACK_TIMEOUT_S": "0.5"})
    assert (settings.make_deadline_s, settings.ack_timeout_s) == (0.25, 0.5)


def test_a_secret_key_that_could_never_be_listed_as_an_old_one_is_refused() -> None:
    told = "COFFEE_SECRET_KEY must be without commas, which part COFFEE_OLD_SECRET_KEYS"
    assert problems(COFFEE_SECRET_KEY=f"{'k' * 16},{'k' * 16}") == [told]


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(
            {
                "COFFEE_SECRET_KEY": "short",
                "COFFEE_DATABASE_URL": "nothing",
                "COFFEE_MQTT_URL": "http://broker",
                "COFFEE_PUBLIC_URL": "coffee.example.org",
                "COFFEE_BIND": "everywhere",
                "COFFEE_TRUSTED_PROXIES": "10.0.0.0/33",
                "COFFEE_MAKE_TIMEOUT_S": "soon",
                "COFFEE_MAKE_DEADLINE_S": "80",
                "COFFEE_LOG": "xml",
            }
        )
    told = str(caught.value)
    for name in (
        *("SECRET_KEY", "DATABASE_URL", "MQTT_URL", "PUBLIC_URL", "BIND", "TRUSTED_PROXIES", "MAKE_TIMEOUT_S"),
        *("ACK_TIMEOUT_S must exceed COFFEE_MAKE_DEADLINE_S", "LOG"),
    ):
        assert f"COFFEE_{name}" in told


@pytest.mark.parametrize("name", ["MQTT_CA", "MQTT_CERT", "MQTT_KEY", "MACHINES_MQTT_CA", "TBANK_CA_FILE"])
def test_a_file_that_cannot_be_read_is_told_at_the_start(name: str, tmp_path: Path) -> None:
    """One that may not even be looked for, as in a closed folder, too; a name too long stands for it with root."""
    (tmp_path / "file").touch()
    for told, file in {
        f"COFFEE_{name}: there is no file {tmp_path}/missing": "missing",
        f"COFFEE_{name}: there is no file {tmp_path}/file/inside": "file/inside",
        f"COFFEE_{name}: {tmp_path} cannot be read: Is a directory": "",
        f"COFFEE_{name}: {tmp_path}/{'x' * 300} cannot be read: File name too long": "x" * 300,
    }.items():
        assert told in problems(**{f"COFFEE_{name}": str(tmp_path / file)})


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e12", "60s", "0x10"])
def test_a_duration_is_a_positive_number(value: str) -> None:
    assert problems(COFFEE_MAKE_DEADLINE_S=value)[0].startswith("COFFEE_MAKE_DEADLINE_S must be a number above 0")


def test_the_answer_is_awaited_longer_than_the_machine_may_take_to_start() -> None:
    [problem] = problems(COFFEE_ACK_TIMEOUT_S="60")
    assert problem == "COFFEE_ACK_TIMEOUT_S must exceed COFFEE_MAKE_DEADLINE_S"


@pytest.mark.parametrize("value", ["mysql://u@h/d", "sqlite//x", "sqlite+aiosqlite:///x", "postgresql+psycopg2://h/d"])
def test_a_database_is_sqlite_or_postgresql(value: str) -> None:
    [problem] = problems(COFFEE_DATABASE_URL=value)
    assert problem.startswith("COFFEE_DATABASE_URL must")
    assert "u@h" not in problem


@pytest.mark.parametrize(
    "value",
    ["postgres://u:p@h/d", "postgresql://h/d", "postgresql+psycopg://h/d", "sqlite:///x.db", "sqlite+pysqlite:///x.db"],
)
def test_a_database_may_be_spelled_in_the_usual_ways(value: str) -> None:
    assert Settings.from_env(KEY | {"COFFEE_DATABASE_URL": value}).database_url == value


OTHER_ADDRESSES = [
    ("hush@h:abc/d", "port"), ("hush@h:/d", "port"), ("hush@h:99999/d", "port"), ("hush@h:0/d", "port"),
    ("hush@[::1/d", "IPv6"), ("hush@::1/d", "IPv6"), ("hush@/d?host=one:abc&host=two:5432", "ports"),
    ("p@hush@h/d", "%40"), ("p@x/hush@h/d", "%40"), ("p@x?hush@h/d", "%40"), ("p@hush:x@h/d", "%40"),
    ("p@h/d?hush=x", "option"), ("p@h/d?sslpassword=a&hush=x", "option"), ("p@h/d?autocommit=hush", "option"),
]  # fmt: skip


@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_LISTEN_URL"])
@pytest.mark.parametrize(("rest", "about"), OTHER_ADDRESSES)
def test_an_address_that_no_driver_takes_is_told_in_words_without_its_password(
    name: str, rest: str, about: str
) -> None:
    """Regression: a traceback, or the tail of a password in the log as the name of a host."""
    [problem] = problems(**{f"COFFEE_{name}": f"postgresql://u:{rest}"})
    assert problem.startswith(f"COFFEE_{name} has ")
    assert about in problem
    assert "hush" not in problem


@pytest.mark.parametrize("query", ["hush=1", "timeout=hush"])
def test_an_option_that_sqlite_does_not_take_is_told(query: str) -> None:
    [problem] = problems(COFFEE_DATABASE_URL=f"sqlite:///x.db?{query}")
    assert problem.startswith("COFFEE_DATABASE_URL has an option")
    assert "hush" not in problem


@pytest.mark.parametrize(
    "value",
    [
        "postgresql+psycopg:///coffee", "postgresql://u:p%40ss@h/d", "postgresql://u:p?a/b#c@h/d",
        "postgresql://u@server:p@[::1]:5432/d",
        "postgresql://u:p@/coffee?host=one:5432&host=two:5432&target_session_attrs=read-write",
        "postgresql://u:p@/d?host=/run/postgresql", "postgresql://u:p@h/d?sslmode=verify-full&connect_timeout=5",
        "sqlite:///x.db?timeout=5",
    ],
)  # fmt: skip
def test_an_address_that_a_driver_takes_is_taken(value: str) -> None:
    assert Settings.from_env(KEY | {"COFFEE_DATABASE_URL": value}).database_url == value


def test_the_program_ends_in_order_where_the_address_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"COFFEE_SECRET_KEY": "k" * 32, "COFFEE_DATABASE_URL": "postgresql://u:hush@h:abc/d"}
    told = CliRunner().invoke(main, ["check"], env=environ)
    assert told.exit_code == 2
    assert "COFFEE_DATABASE_URL has a host or port that cannot be read" in told.output


@pytest.mark.parametrize("held", ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_an_authority_that_is_no_certificate_is_told_with_its_setting(held: str, tmp_path: Path) -> None:
    """Regression: the broker "cannot be reached", and COFFEE_MQTT_URL was named."""
    (tmp_path / "ca.crt").write_text(held)
    told = f"COFFEE_MQTT_CA: {tmp_path}/ca.crt holds no certificate in PEM"
    assert problems(COFFEE_MQTT_CA=f"{tmp_path}/ca.crt") == [told]


@pytest.mark.parametrize("value", ["sqlite://", "sqlite:///:memory:", "sqlite+pysqlite:///:memory:"])
def test_a_database_in_memory_would_be_another_one_for_every_process(value: str) -> None:
    assert problems(COFFEE_DATABASE_URL=value)


@pytest.mark.parametrize(
    ("bind", "address"),
    [("0.0.0.0:80", ("0.0.0.0", 80)), ("[::1]:8080", ("::1", 8080)), ("localhost:0", ("localhost", 0))],
)
def test_where_to_listen(bind: str, address: tuple[str, int]) -> None:
    assert Settings.from_env(KEY | {"COFFEE_BIND": bind}).address == address


@pytest.mark.parametrize("bind", ["8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", ":x"])
def test_what_is_no_address_is_refused(bind: str) -> None:
    [problem] = problems(COFFEE_BIND=bind)
    assert problem.startswith("COFFEE_BIND must be")


def test_senders_can_be_listed_or_left_unchecked() -> None:
    listed = Settings.from_env(KEY | {"COFFEE_YOOKASSA_WEBHOOK_NETWORKS": "127.0.0.0/8, 10.1.2.3"})
    assert listed.yookassa_webhook_networks == parse_networks("127.0.0.0/8,10.1.2.3")
    assert Settings.from_env(KEY | {"COFFEE_YOOKASSA_WEBHOOK_NETWORKS": "*"}).yookassa_webhook_networks is None


def test_nobodys_header_is_believed_unless_a_proxy_is_named() -> None:
    assert Settings.from_env(KEY).trusted_proxies == ()
    assert [p.startswith("COFFEE_TRUSTED_PROXIES") for p in problems(COFFEE_TRUSTED_PROXIES="*")] == [True]


def test_old_keys_and_slashes_at_the_end_are_tidied() -> None:
    settings = Settings.from_env(
        KEY | {"COFFEE_OLD_SECRET_KEYS": "one,, two", "COFFEE_PUBLIC_URL": "https://pay.example.org/"}
    )
    assert settings.old_secret_keys == ("one", "two")
    assert settings.public_url == "https://pay.example.org"


@pytest.mark.parametrize("name", ["PUBLIC_URL", "YOOKASSA_URL", "TBANK_URL", "TMETR_URL"])
def test_a_web_address_is_kept_as_browsers_and_providers_write_it(name: str) -> None:
    settings = Settings.from_env(KEY | {f"COFFEE_{name}": "https://Кофе.рф:443/a/"})
    assert getattr(settings, name.lower()) == "https://xn--e1ajmy.xn--p1ai/a"
    for wrong in ("https://user:hush@x.org", "https://x.org/?a", "https://x.org/#a", "https://a..b"):
        [problem] = problems(**{f"COFFEE_{name}": wrong})
        assert problem.startswith(f"COFFEE_{name} must be a URL")
        assert "hush" not in problem


RELEASE_KEY = b64encode(bytes(32)).decode()


def test_release_keys_are_parted_by_commas() -> None:
    assert Settings.from_env(KEY | {"COFFEE_RELEASE_KEYS": ""}).release_keys == ()
    two = Settings.from_env(KEY | {"COFFEE_RELEASE_KEYS": f"{RELEASE_KEY}, {RELEASE_KEY},"})
    assert two.release_keys == (RELEASE_KEY, RELEASE_KEY)


@pytest.mark.parametrize("wrong", ["release.key", "ключ", RELEASE_KEY[:-4], f"key {RELEASE_KEY}", f"{RELEASE_KEY},x"])
def test_a_release_key_that_stops_agents_is_refused_here(wrong: str) -> None:
    """Regression: it was told to every machine that enrolled, whose agent then did not start."""
    with pytest.raises(BadSettings):
        AgentSettings.from_env(AGENT | {"COFFEE_AGENT_RELEASE_KEY": wrong})
    [problem] = problems(COFFEE_RELEASE_KEYS=wrong)
    assert problem == "COFFEE_RELEASE_KEYS must be Ed25519 public keys in base64, parted by commas"


OIDC = {
    "COFFEE_OIDC_ISSUER": "https://id.example/realm/", "COFFEE_OIDC_CLIENT_ID": "console",
    "COFFEE_OIDC_CLIENT_SECRET": "secret",
}  # fmt: skip


@pytest.mark.parametrize(
    "wrong", ["http://id.example", "https://id.example?x", "https://user@id.example", "id.example", "ftp://id.example"]
)
def test_an_identity_provider_is_named_as_it_names_itself(wrong: str) -> None:
    assert Settings.from_env(KEY | OIDC).oidc_issuer == "https://id.example/realm/"
    [told] = problems(**OIDC | {"COFFEE_OIDC_ISSUER": wrong})
    assert "COFFEE_OIDC_ISSUER" in told
    [told] = problems(COFFEE_OIDC_ISSUER="https://id.example")
    assert "COFFEE_OIDC_CLIENT_ID" in told


def test_without_its_extra_an_identity_provider_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "authlib", None)
    [told] = problems(**OIDC)
    assert told.startswith("COFFEE_OIDC_ISSUER needs the extra `oidc`")


def test_an_empty_variable_is_none_at_all() -> None:
    assert Settings.from_env(KEY | {"COFFEE_BIND": "  ", "COFFEE_MAKE_TIMEOUT_S": ""}) == Settings.from_env(KEY)


def test_secrets_are_never_shown() -> None:
    settings = Settings.from_env(
        {
            "COFFEE_SECRET_KEY": "hush" * 10,
            "COFFEE_OLD_SECRET_KEYS": "husholder",
            "COFFEE_DATABASE_URL": "postgresql://u:hush-db@h/d",
            "COFFEE_MQTT_PASSWORD": "hush-mqtt",
            "COFFEE_MQTT_URL": "mqtt://u:hush-url@127.0.0.1",
        }
    )
    assert "hush" not in repr(settings)


def test_every_setting_is_documented_with_its_default() -> None:
    told = DOCUMENT.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `COFFEE_([A-Z_]+)` \| (.+?) \|", told, re.MULTILINE))
    assert set(rows) == {field.name.upper() for field in fields(Settings)}
    for field in fields(Settings):
        if isinstance(field.default, int | float):
            assert rows[field.name.upper()] == f"`{field.default:g}`"
        elif isinstance(field.default, str):
            assert rows[field.name.upper()] == (f"`{field.default}`" if field.default else "none")


def test_a_dotenv_file_fills_in_what_the_environment_lacks(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# ours\nexport COFFEE_BIND='0.0.0.0:80'\nCOFFEE_LOG=json\n\nnonsense\n1BAD=x\nCOFFEE_PUBLIC_URL=\"http://a=b\"\n"
        "north_key=a'b\"\n",
        encoding="utf-8",
    )
    environ = {"COFFEE_LOG": "text"}
    read_dotenv(tmp_path, environ)
    told = {"COFFEE_LOG": "text", "COFFEE_BIND": "0.0.0.0:80", "COFFEE_PUBLIC_URL": "http://a=b"}
    assert environ == told | {"north_key": "a'b\""}


def test_a_dotenv_file_that_windows_saved_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("COFFEE_MQTT_PASSWORD=кофе\r\nCOFFEE_LOG=json\r\n".encode("utf-8-sig"))
    environ: dict[str, str] = {}
    read_dotenv(tmp_path, environ)
    assert environ == {"COFFEE_MQTT_PASSWORD": "кофе", "COFFEE_LOG": "json"}


@pytest.mark.parametrize("encoding", ["cp1251", "utf-16"])
def test_a_dotenv_file_that_is_not_utf8_is_named(
    tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_bytes("COFFEE_LOG=json\nCOFFEE_MQTT_PASSWORD=кофе\n".encode(encoding))
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(main, ["check"])
    line = {"cp1251": 2, "utf-16": 1}[encoding]
    assert told.exit_code == 2
    assert told.output == f"Settings are wrong:\n{tmp_path}/.env is not UTF-8 (line {line}): save it as UTF-8\n"


def test_no_dotenv_file_is_fine(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    read_dotenv(tmp_path, environ)
    assert environ == {}
