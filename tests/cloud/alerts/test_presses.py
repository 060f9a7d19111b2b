"""Whose button was pressed, where several channels share a chat."""

import pytest

from tests.cloud.alerts.desk import Desk, annas_code
from tests.cloud.worlds import DEVICE

STRANGER = "Сначала привяжите этот чат к своему профилю в пульте"


@pytest.mark.parametrize("other", ["north", "south"])
def test_each_button_counts_in_a_chat_of_two_channels(sqlite_desk: Desk, other: str) -> None:
    """Regression: only the buttons of one of the channels were known, those of the other were a stranger's."""
    desk = sqlite_desk
    desk.channel(merchant=other)
    desk.channel()
    desk.channel(merchant=other)
    desk.presence(DEVICE, online=False)
    desk.pass_time(160)
    desk.messengers.write("42", "42", f"/start {desk.world.database.transact(annas_code, desk.world.now)}")
    told = desk.messages()
    assert len(told) == (3 if other == "north" else 1)
    for message in told:
        for by in ("42", "43"):
            desk.messengers.press(message, "Отложить на час", by)
    desk.presses.step(desk.world.now)
    said = [answer["text"] for answer in desk.messengers.chats.answers]
    assert said == ["Отложено на час", STRANGER] * len(told)
