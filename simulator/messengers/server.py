"""The simulated messengers as one object."""

from typing import Any

from simulator.messengers import page
from simulator.messengers.bots import Bots
from simulator.messengers.chats import Chats, Message
from simulator.messengers.faults import Fault, FaultKind
from simulator.messengers.mailbox import Mailbox
from simulator.shell.clock import Clock, real_clock
from simulator.shell.faults import FaultBoard
from simulator.shell.service import Service, build_app

DEFAULT_TOKEN = "7:test"  # noqa: S105  # opens nothing but this simulator


class Messengers(Service):
    """Telegram under the address itself, MAX under `/max`, programs under `/program/NAME`, and a mailbox."""

    def __init__(self, *, port: int = 0, token: str = DEFAULT_TOKEN, clock: Clock = real_clock) -> None:
        super().__init__(port, clock)
        self.token = token
        self.chats = Chats()
        self.faults: FaultBoard[Fault] = FaultBoard(self._hangs_over)
        self.mailbox = Mailbox(self.chats, self.faults)
        self._bots = Bots(token, self.chats, self.faults)
        self._serve(build_app(__name__, (self._bots.blueprint(), page.create_blueprint(self.chats))))

    def start(self) -> "Messengers":
        self.mailbox.start()
        super().start()
        return self

    def close(self) -> None:
        """Stop answering."""
        super().close()
        self.mailbox.close()

    def reissue(self, token: str) -> None:
        """Another token for our bots; the old one ends at once."""
        self.token = self._bots.token = token

    def messages(self, chat: str = "") -> list[Message]:
        """What arrived, oldest first."""
        return self.chats.messages(chat)

    def fault(self, kind: FaultKind, **more: Any) -> None:
        """Switch on one fault; `more` are the fields of `Fault`."""
        self.faults.add(Fault(kind=kind, **more))

    def press(self, message: Message, label: str, by: str) -> None:
        """Somebody presses a button in Telegram."""
        data = next(each["data"] for each in message.buttons if each["text"] == label)
        self.chats.press(message, data, by)

    def write(self, chat: str, by: str, text: str) -> None:
        """Somebody writes to the bot in Telegram."""
        self.chats.write(chat, by, text)
