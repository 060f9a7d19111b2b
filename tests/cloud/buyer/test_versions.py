"""Followers are told of changes whatever becomes of the wake-ups."""

import threading

import pytest

from cloud.buyer import versions
from cloud.buyer.versions import Versions
from cloud.database.database import Database
from protocol.reasons import Result, Spout
from tests.cloud.buyer.orders import Orders
from tests.waiting import PATIENCE_S


def test_news_without_a_notice_come_however_often_others_wake(
    orders: Orders, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: all were looked for only after a silence, which streams that end and wake-ups of others broke."""
    monkeypatch.setattr(versions, "LOOK_S", 0.5)
    monkeypatch.setattr(database.wakeups, "wake", lambda topics: None)
    orders.sent()
    all_versions, is_told = Versions(database), threading.Event()

    def others() -> None:
        """Come and go, and wake it, more often than it is looked for all."""
        while not is_told.wait(versions.LOOK_S / 10):
            with all_versions.follow("another"):
                all_versions.wake("another")

    thread = threading.Thread(target=others)
    with all_versions.follow("o-1") as follower:
        follower.seen(orders.order("o-1").version)
        thread.start()
        orders.outcome("o-1", Result.DONE, out=Spout.FULL)
        told = follower.wait(PATIENCE_S)
        is_told.set()
        thread.join()
    assert told
