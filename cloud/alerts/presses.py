"""Buttons pressed and codes written in Telegram and MAX: asked for, judged, answered. Acknowledge and snooze only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import select

from cloud.access import sessions
from cloud.access.acts import Act
from cloud.access.journal import Author, Entry, record
from cloud.alerts import handling, people, turns
from cloud.alerts.buttons import ButtonSeal, NotOurs, Press, Pressed
from cloud.alerts.channels.http import Answer
from cloud.alerts.channels.max_messenger import MaxMessenger
from cloud.alerts.channels.telegram import Telegram
from cloud.alerts.models import Channel
from cloud.alerts.store import incident_of, known, subject_of
from cloud.alerts.wording import SENTENCES
from cloud.database.database import Database
from cloud.database.transaction import Transaction

WAITS_S = 5
"""So long a bot's server holds the question when nothing happened."""
TURN = timedelta(seconds=30)
PAUSE = timedelta(seconds=1)
"""Between two questions to a server that does not hold them."""
AFTER_TROUBLE = timedelta(seconds=15)


@dataclass(frozen=True)
class Update:
    """Something a person did: pressed (`data`), or wrote (`text`)."""

    user: str
    chat: str
    data: str = ""
    text: str = ""
    answer_to: str = ""


class Bot(Protocol):
    """A messenger's bot, as far as presses go."""

    messenger: str

    def updates(self) -> Sequence[Update] | None:
        """What happened since; None when it does not answer."""

    def answer(self, update: Update, words: str) -> None:
        """Tell the person who pressed or wrote."""


class TelegramBot:
    """Presses of Telegram."""

    messenger = "telegram"

    def __init__(self, telegram: Telegram) -> None:
        self._telegram = telegram
        self._offset = 0

    def updates(self) -> Sequence[Update] | None:
        """Ask for what happened, and so confirm what came before."""
        asked = {"offset": self._offset, "timeout": WAITS_S, "allowed_updates": ["message", "callback_query"]}
        answer = self._telegram.call("getUpdates", asked, answer_s=WAITS_S + 10.0)
        if not isinstance(answer, Answer) or not isinstance(answer.body.get("result"), list):
            return None
        found = answer.body["result"]
        if found:
            self._offset = max(int(each["update_id"]) for each in found) + 1
        return [update for update in map(_of_telegram, found) if update is not None]

    def answer(self, update: Update, words: str) -> None:
        """A toast for a press, a message for what was written."""
        if update.answer_to:
            self._telegram.call("answerCallbackQuery", {"callback_query_id": update.answer_to, "text": words})
        else:
            self._telegram.call("sendMessage", {"chat_id": update.chat, "text": words})


class MaxBot:
    """Presses of MAX."""

    messenger = "max"

    def __init__(self, max_messenger: MaxMessenger) -> None:
        self._max = max_messenger
        self._marker = ""

    def updates(self) -> Sequence[Update] | None:
        """Ask for what happened since the last marker."""
        params = {"timeout": str(WAITS_S), "types": "message_callback,message_created"}
        params |= {"marker": self._marker} if self._marker else {}
        answer = self._max.call("GET", "/updates", params, answer_s=WAITS_S + 10.0)
        if not isinstance(answer, Answer) or not isinstance(answer.body.get("updates"), list):
            return None
        self._marker = str(answer.body.get("marker") or self._marker)
        return [update for update in map(_of_max, answer.body["updates"]) if update is not None]

    def answer(self, update: Update, words: str) -> None:
        """A notice for a press, a message for what was written."""
        if update.answer_to:
            self._max.call("POST", "/answers", {"callback_id": update.answer_to}, {"notification": words})
        else:
            self._max.call("POST", "/messages", {"chat_id": update.chat}, {"text": words})


class Presses:
    """The loop of one bot. One worker asks at a time: a bot's server gives each update to whoever asks."""

    def __init__(self, database: Database, bot: Bot, seal: ButtonSeal, owner: str) -> None:
        self._database = database
        self._bot = bot
        self._seal = seal
        self._owner = owner

    def step(self, now: datetime) -> datetime:
        """Ask once, do what was asked for. Raises what the database raises."""
        if not self._database.transact(self._is_our_turn, now):
            return now + TURN
        updates = self._bot.updates()
        if updates is None:
            return now + AFTER_TROUBLE
        for update_ in updates:
            words = self._database.transact(self._done, update_, now)
            if words:
                self._bot.answer(update_, words)
        return now if updates else now + PAUSE

    def _is_our_turn(self, tx: Transaction, now: datetime) -> bool:
        name = f"presses:{self._bot.messenger}"
        return turns.is_alone(tx) or turns.take(tx, name, TURN, now, self._owner)

    def _done(self, tx: Transaction, said: Update, now: datetime) -> str:
        """What to answer; "" for what is not for us."""
        if said.text:
            return self._linked(tx, said, now)
        in_chat = select(Channel).where(Channel.kind == self._bot.messenger, Channel.address == said.chat)
        for channel in (channels := tx.session.scalars(in_chat.order_by(Channel.created_at)).all()):
            try:
                pressed = self._seal.open(said.data, channel.id)
            except NotOurs:
                continue  # a chat may be that of several channels
            return SENTENCES[channel.language][self._acted(tx, said, pressed, now)]
        return SENTENCES[channels[0].language if channels else "ru"]["said.stranger"]

    def _linked(self, tx: Transaction, said: Update, now: datetime) -> str:
        command, _, code = said.text.partition(" ")
        if command.partition("@")[0] not in {"/start", "/link"} or not code:
            return ""
        linked = people.link(tx, self._bot.messenger, said.user, said.chat, code, now)
        return SENTENCES["ru"]["said.linked" if linked is not None else "said.no_code"]

    def _acted(self, tx: Transaction, said: Update, pressed: Pressed, now: datetime) -> str:
        user_id = people.who_is(tx, self._bot.messenger, said.user)
        person = sessions.elsewhere(tx.session, user_id, now) if user_id else None
        row = known(tx.session, pressed.incident_id)
        if person is None or row is None:
            return "said.stranger"
        subject = subject_of(incident_of(row))
        if not person.may(Act.ACKNOWLEDGE, subject.merchant_id, subject.device_uuid):
            return "said.stranger"
        if not pressed.is_alive(now):
            return "said.late"
        author = replace(Author.of(person), address=self._bot.messenger)
        try:
            if pressed.press is Press.ACKNOWLEDGE:
                handling.acknowledge(tx, row.id, author.name, now)
            else:
                handling.snooze(tx, row.id, now + handling.SNOOZE, now)
        except handling.Over:
            return "said.over"
        record(tx, Entry(Act.ACKNOWLEDGE, author, subject, after={"pressed": pressed.press.name.lower()}), now)
        return "said.acknowledged" if pressed.press is Press.ACKNOWLEDGE else "said.snoozed"


def _of_telegram(said: Mapping[str, Any]) -> Update | None:
    if (press := said.get("callback_query")) is not None:
        chat = str(press.get("message", {}).get("chat", {}).get("id", ""))
        return Update(str(press["from"]["id"]), chat, data=str(press.get("data", "")), answer_to=str(press["id"]))
    message = said.get("message") or {}
    if not message.get("text") or "from" not in message:
        return None
    return Update(str(message["from"]["id"]), str(message["chat"]["id"]), text=str(message["text"])[:200])


def _of_max(said: Mapping[str, Any]) -> Update | None:
    message = said.get("message") or {}
    chat = str((message.get("recipient") or {}).get("chat_id", ""))
    if (press := said.get("callback")) is not None:
        return Update(
            str(press["user"]["user_id"]), chat, data=str(press.get("payload", "")), answer_to=str(press["callback_id"])
        )
    text = (message.get("body") or {}).get("text")
    sender = (message.get("sender") or {}).get("user_id")
    return Update(str(sender), chat, text=str(text)[:200]) if text and sender else None
