"""T-Bank's notifications, composed from its published fields: each is read, none believed without its signature."""

import pytest

from cloud.payments.tbank.notification import Message, parse_message
from tests.cloud.payments.samples_on_disk import SAMPLES, names


def read(name: str) -> Message:
    return parse_message((SAMPLES / f"{name}.json").read_bytes())


@pytest.mark.parametrize("name", names("tbank"))
def test_every_notification_sample_is_read(name: str) -> None:
    told = read(name)
    assert told.status == name.removeprefix("tbank/notification-").replace("-", "_").upper()
    assert (told.provider_payment_id, told.amount, told.terminal) == ("1234567890", "15000", "1234567890123DEMO")


@pytest.mark.parametrize("name", names("tbank"))
def test_no_notification_sample_is_believed_or_keeps_its_card(name: str) -> None:
    told = read(name)
    assert not told.is_from("not the terminal's password")
    assert "430000" not in told.notification().body
    assert "Token" not in told.notification().body


def test_each_notification_sample_is_news_of_its_own() -> None:
    assert len({read(name).notification().dedupe_key for name in names("tbank")}) == len(names("tbank"))
