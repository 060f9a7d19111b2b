"""Certificates that end soon, read from a file and from a real TLS server."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cloud.alerts import certificates
from cloud.alerts.certificates import CertificateCheck
from cloud.settings import Settings
from tests.certificates import Authority
from tests.cloud.worlds import SECRET_KEY


@contextmanager
def a_tls_server(certificate: Path, key: Path, callers: int) -> Iterator[str]:
    """Shows its certificate to so many; its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20.0)

        def serve() -> None:
            for _ in range(callers):
                connection, _ = server.accept()
                with context.wrap_socket(connection, server_side=True) as secure:
                    secure.recv(1)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        serving.join(20.0)


def test_a_certificate_that_ends_is_told_two_weeks_before(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).sign("server")
    now = datetime.now(UTC)
    with a_tls_server(certificate, key, 2) as address:
        addresses, files = [f"https://{address}"], (str(certificate), "", str(tmp_path / "no file"))
        check = certificates.ending(addresses, files, (), now)
        assert [each.subject for each in check.soon] == [str(certificate)[-128:], "127.0.0.1"]
        assert [name.rpartition("/")[2] for name in check.unread] == ["no file"]
        assert certificates.ending(addresses, files, (), now - timedelta(days=15)).soon == []
    not_listening = certificates.ending(addresses, (), (), now)
    assert (not_listening.soon, not_listening.unread) == ([], [check.soon[1].fingerprint])
    assert certificates.ending(["http://127.0.0.1:1", "mqtt://127.0.0.1", ""], (), (), now) == CertificateCheck([], [])


def test_the_door_that_all_machines_come_by_is_watched_and_whom_they_trust(tmp_path: Path) -> None:
    """The worker itself goes by the inner address and saw nothing: after that day no machine came back."""
    authority = Authority(tmp_path)
    with a_tls_server(*authority.sign("broker"), 1) as address:
        settings = Settings.from_env({
            "COFFEE_SECRET_KEY": SECRET_KEY, "COFFEE_MQTT_URL": "mqtt://127.0.0.1", "COFFEE_PUBLIC_URL": "http://here",
            "COFFEE_MACHINES_MQTT_URL": f"mqtts://nowhere.invalid, mqtts://{address}",
            "COFFEE_MACHINES_MQTT_CA": str(authority.ca),
        })  # fmt: skip
        soon = certificates.watched(settings, datetime.now(UTC)).soon
    assert [each.subject for each in soon] == [str(authority.ca)[-128:], address]


def test_an_authority_that_is_being_changed_lasts_as_long_as_its_successor(tmp_path: Path) -> None:
    now, both = datetime.now(UTC), tmp_path / "both.crt"
    old, new = (Authority(tmp_path, name, lasts=timedelta(days=days)) for name, days in (("old", 1), ("new", 900)))
    both.write_bytes(old.ca.read_bytes() + new.ca.read_bytes())
    assert len(certificates.ending((), (), (str(old.ca),), now).soon) == 1
    assert certificates.ending((), (), (str(both),), now).soon == []
    assert len(certificates.ending((), (str(both),), (), now).soon) == 1, (
        "of ours the first counts, others are its chain"
    )
