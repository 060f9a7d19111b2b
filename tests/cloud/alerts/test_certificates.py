"""Certificates that end soon, read from a file and from a real TLS server."""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cloud.alerts import certificates
from tests.certificates import Authority


def test_a_certificate_that_ends_is_told_two_weeks_before(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).sign("server")
    now = datetime.now(UTC)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20.0)

        def serve() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                with context.wrap_socket(connection, server_side=True) as secure:
                    secure.recv(1)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        url, files = f"https://127.0.0.1:{server.getsockname()[1]}", (str(certificate), "", str(tmp_path / "no file"))
        soon = certificates.ending(url, files, now)
        assert [each.subject for each in soon] == [str(certificate)[-128:], "127.0.0.1"]
        assert certificates.ending(url, files, now - timedelta(days=15)) == []
        serving.join(20.0)
    assert certificates.ending("http://127.0.0.1:1", (), now) == []
