"""What arrived where: the ground truth of every messenger, and what people press. Thread-safe."""

import threading
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
        self._max_updates: list[dict[str, Any]] = []
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
        """Somebody presses a button, in whichever of the two the message is."""
        in_telegram = {
            "id": f"press-{message.ref}", "from": {"id": int(by)}, "data": data,
            "message": {"message_id": int(message.ref), "chat": {"id": message.chat}},
        }  # fmt: skip
        in_max = {
            "update_type": "message_callback", "message": {"recipient": {"chat_id": message.chat}},
            "callback": {"callback_id": f"press-{message.ref}", "payload": data, "user": {"user_id": int(by)}},
        }  # fmt: skip
        self._happen({"callback_query": in_telegram}, in_max)

    def write(self, chat: str, by: str, text: str) -> None:
        """Somebody writes to the bot."""
        in_telegram = {"chat": {"id": chat}, "from": {"id": int(by)}, "text": text}
        in_max = {
            "update_type": "message_created",
            "message": {"recipient": {"chat_id": chat}, "sender": {"user_id": int(by)}, "body": {"text": text}},
        }  # fmt: skip
        self._happen({"message": in_telegram}, in_max)

    def _happen(self, in_telegram: dict[str, Any], in_max: dict[str, Any]) -> None:
        with self._lock:
            self._updates.append({"update_id": len(self._updates) + 1, **in_telegram})
            self._max_updates.append(in_max)

    def max_updates(self, after: int) -> list[dict[str, Any]]:
        """The same in MAX's words."""
        with self._lock:
            return self._max_updates[after:]

    def updates(self, after: int) -> list[dict[str, Any]]:
        """What happened after that number."""
        with self._lock:
            return self._updates[after:]
