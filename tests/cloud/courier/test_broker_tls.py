"""TLS to a real Mosquitto: an authority of one's own, a certificate of ours, and each failure called by its name."""

import contextlib
import gc
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from cloud.courier.broker import BrokerLink
from cloud.courier.broker_address import Tls
from tests.certificates import Authority, be_as_strict_as_newer_pythons
from tests.mosquitto import a_mosquitto
from tests.programs import free_port
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.mosquitto,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # paho leaves a failed one to Python
]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("strangers"), "stranger")


@contextmanager
def a_tls_broker(
    folder: Path, ours: Authority, *, wants_certificate: bool = False, address: str = "127.0.0.1"
) -> Iterator[int]:
    """Its TLS port."""
    certificate, key = ours.sign("broker", address)
    port = free_port()
    options = f"listener {port} 127.0.0.1\ncafile {ours.ca}\ncertfile {certificate}\nkeyfile {key}\n"
    with a_mosquitto(folder, options + ("require_certificate true\n" if wants_certificate else "")):
        yield port


def trouble(port: int, tls: Tls, words: str) -> str:
    """What the link says when it does not get in."""
    link = BrokerLink(f"mqtts://127.0.0.1:{port}", "link", tls=tls)
    link.start()
    try:
        wait_until(lambda: words in link.trouble, what=f"{words!r} in the trouble, which is {link.trouble!r}")
        assert not link.connected
        return link.trouble
    finally:
        link.stop()
        wait_until(lambda: not [one for one in threading.enumerate() if one.name.startswith("paho-mqtt-client-link")])
        gc.collect()  # in this test, not in the next


def gets_in(port: int, tls: Tls) -> bool:
    link = BrokerLink(f"mqtts://127.0.0.1:{port}", "link", tls=tls)
    link.start()
    try:
        return link.wait_connected(30)
    finally:
        link.stop()


def test_an_authority_of_ones_own(tmp_path: Path, ours: Authority, strangers: Authority) -> None:
    with a_tls_broker(tmp_path / "broker", ours) as port:
        assert gets_in(port, Tls(ca=str(ours.ca)))
        assert "COFFEE_MQTT_CA" in trouble(port, Tls(ca=str(strangers.ca)), "its certificate is not trusted")
        assert "COFFEE_MQTT_CA" in trouble(port, Tls(), "its certificate is not trusted")


def test_an_authority_without_a_key_usage_is_believed_by_newer_pythons(
    tmp_path: Path, ours: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_as_strict_as_newer_pythons(monkeypatch)
    with a_tls_broker(tmp_path / "broker", ours) as port:
        assert gets_in(port, Tls(ca=str(ours.ca)))


def test_a_certificate_of_another_host(tmp_path: Path, ours: Authority) -> None:
    with a_tls_broker(tmp_path / "broker", ours, address="127.0.0.9") as port:
        trouble(port, Tls(ca=str(ours.ca)), "IP address mismatch")


def test_a_certificate_of_ours_is_wanted(tmp_path: Path, ours: Authority, strangers: Authority) -> None:
    cert, key = ours.sign("coffee-cloud")
    other_cert, other_key = strangers.sign("coffee-cloud")
    with a_tls_broker(tmp_path / "broker", ours, wants_certificate=True) as port:
        assert gets_in(port, Tls(str(ours.ca), str(cert), str(key)))
        assert "COFFEE_MQTT_CERT" in trouble(port, Tls(ca=str(ours.ca)), "a certificate of ours")
        wrong = Tls(str(ours.ca), str(other_cert), str(other_key))
        assert "COFFEE_MQTT_CERT" in trouble(port, wrong, "accept our certificate")


@contextmanager
def a_door_that_shuts(ours: Authority) -> Iterator[int]:
    """Shakes hands and hangs up before whatever it says is heard, as a broker may that wants a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*ours.sign("broker", "127.0.0.1"))
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as thread:

        def shut_out() -> None:
            while True:
                try:
                    line, _ = listening.accept()
                except OSError:
                    return
                with contextlib.suppress(OSError), context.wrap_socket(line, server_side=True) as shaken:
                    shaken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset

        thread.submit(shut_out)
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def test_a_complaint_that_is_lost_with_the_connection(ours: Authority) -> None:
    cert, key = ours.sign("coffee-cloud")
    with a_door_that_shuts(ours) as port:
        trouble(port, Tls(ca=str(ours.ca)), "does it want a certificate of ours, COFFEE_MQTT_CERT")
        trouble(port, Tls(str(ours.ca), str(cert), str(key)), "does it accept our certificate, COFFEE_MQTT_CERT")


def test_a_port_without_tls(tmp_path: Path, ours: Authority) -> None:
    with a_mosquitto(tmp_path / "broker") as plain:
        trouble(plain.port, Tls(ca=str(ours.ca)), "does it speak TLS there")


def test_a_key_that_does_not_go_with_the_certificate(tmp_path: Path, ours: Authority, strangers: Authority) -> None:
    wrong = Tls(str(ours.ca), str(ours.sign("a")[0]), str(strangers.sign("b")[1]))
    with a_tls_broker(tmp_path / "broker", ours) as port:
        trouble(port, wrong, "KEY_VALUES_MISMATCH")
