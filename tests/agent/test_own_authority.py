"""An authority of the operator's own, without a key usage as our older instructions made it, under Python 3.13."""

import hashlib
import json
from pathlib import Path

import pytest

from agent import enrolment
from agent.update import fetch
from tests.agent.web_cloud import a_web_cloud
from tests.certificates import Authority, be_as_strict_as_newer_pythons

TOLD = {"device_uuid": "m-001", "mqtt_url": "mqtt://b", "mqtt_user": "m-001", "mqtt_password": "made-by-chance"}


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    be_as_strict_as_newer_pythons(monkeypatch)
    return Authority(tmp_path)


def test_a_machine_can_enrol(ours: Authority) -> None:
    with a_web_cloud(json.dumps(TOLD).encode(), ours) as cloud:
        assert enrolment.ask(cloud.url, "AB12CD34", ours.ca).device_uuid == "m-001"


def test_a_new_version_can_be_fetched(ours: Authority) -> None:
    with a_web_cloud(b"bundle", ours) as cloud:
        sha256 = hashlib.sha256(b"bundle").hexdigest()
        assert fetch.fetch(cloud.url, 6, sha256, (str(ours.ca), None)) == b"bundle"
        with pytest.raises(fetch.NotFetched, match="CERTIFICATE_VERIFY_FAILED"):
            fetch.fetch(cloud.url, 6, sha256, (None, None))
