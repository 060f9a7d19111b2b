"""The bench of a fleet: its packets are MQTT; a small fleet sells on the shipped broker, which is killed meanwhile."""

import json
from pathlib import Path

import pytest

from bench.fleet import __main__ as program
from bench.fleet import packets


def test_packets_come_out_whole_whatever_the_pieces() -> None:
    long = packets.publish("coffee/v1/m/report", b"x" * 300, 7)
    parser = packets.Packets()
    found: list[tuple[int, int, bytes]] = []
    for byte in long + packets.puback(9) + packets.PINGREQ:
        found += parser.feed(bytes([byte]))
    assert [kind for kind, _, _ in found] == [packets.PUBLISH, packets.PUBACK, 12]
    _, flags, body = found[0]
    assert packets.published(flags, body) == ("coffee/v1/m/report", 7, b"x" * 300)


@pytest.mark.long
@pytest.mark.usefixtures("mosquitto", "postgres_server")
def test_a_small_fleet_on_the_shipped_broker_pours_everything_though_the_broker_is_killed(tmp_path: Path) -> None:
    few = ["--agents", "12", "--rate", "6", "--seconds", "2", "--rest", "0", "--workers", "2", "--tls"]
    assert program.main([*few, "--record", str(tmp_path)]) in {0, 1}, "how fast it is, is not for a test"
    [path] = tmp_path.glob("fleet-*.json")
    result = json.loads(path.read_text())["result"]
    assert (result["arrival"]["welcomed"], result["refused"]) == (12, "")
    for sale in (result["sale"], result["killed"]):
        assert (sale["statuses"], sale["poured_but_lost"], sale["poured_twice"]) == ({"successful": 12}, 0, 0)
    assert result["killed"]["connects"] >= 12
    assert result["sale"]["paid_to_finished"]["count"] == 12
