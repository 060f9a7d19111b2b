"""What arrived where: the ground truth of every messenger, and what people press. Thread-safe."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Message:
    """One message as a person sees it; `texts` is what it has said, the last one now."""

    ref: str
    chat: str
    texts: list[str]
    buttons: list[dict[str, str]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    """Of a letter and a call: its headers, or what it carried as data."""

    @property
    def text(self) -> str:
        """What it says now."""
        return self.texts[-1]


class Chats:
    """All chats, mailboxes and programs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: dict[str, Message] = {}
        self._updates: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        """What the bot answered to presses."""

    def post(self, chat: str, text: str, buttons: list[dict[str, str]], **facts: Any) -> Message:
        """A new message arrives."""
        with self._lock:
            message = Message(str(len(self._messages) + 1), chat, [text], buttons, facts)
            self._messages[message.ref] = message
            return message

    def change(self, ref: str, text: str, buttons: list[dict[str, str]]) -> Message | None:
        """A message is changed; None when there is none."""
        with self._lock:
            message = self._messages.get(ref)
            if message is not None:
                message.texts.append(text)
                message.buttons = buttons
            return message

    def messages(self, chat: str = "") -> list[Message]:
        """Of one chat, or all, oldest first."""
        with self._lock:
            return [message for message in self._messages.values() if chat in {"", message.chat}]

    def press(self, message: Message, data: str, by: str) -> None:
        """Somebody presses a button in Telegram."""
        self.happen(
            lambda number: {
                "update_id": number,
                "callback_query": {
                    "id": f"press-{number}", "from": {"id": int(by)}, "data": data,
                    "message": {"message_id": int(message.ref), "chat": {"id": message.chat}},
                },
            }
        )  # fmt: skip

    def write(self, chat: str, by: str, text: str) -> None:
        """Somebody writes to the bot in Telegram."""
        self.happen(
            lambda number: {
                "update_id": number,
                "message": {"chat": {"id": chat}, "from": {"id": int(by)}, "text": text},
            }
        )

    def happen(self, make: Callable[[int], dict[str, Any]]) -> None:
        """Somebody presses or writes something: `make` gets the number of the update."""
        with self._lock:
            self._updates.append(make(len(self._updates) + 1))

    def updates(self, after: int) -> list[dict[str, Any]]:
        """What happened after that number."""
        with self._lock:
            return self._updates[after:]
