"""The simulated merchant as one object: its parts put together. Holds no rule of its own."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Self

from simulator.custom.books import Books
from simulator.custom.callbacks import Callbacks
from simulator.custom.control import Control
from simulator.custom.faults import Fault
from simulator.custom.merchant import Merchant
from simulator.shell.faults import FaultBoard
from simulator.shell.service import Service, build_app


class CustomSimulator(Service):
    """`with CustomSimulator(account, secret, callback_url) as merchant:` has `/page`, `/status`, `/action`, `/sim`.

    `sends`: callbacks leave by themselves; otherwise only at `callbacks.send_waiting()`.
    """

    def __init__(
        self, account: str, secret: str, callback_url: str = "", *, port: int = 0, sends: bool = True,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:  # fmt: skip
        super().__init__(port)
        self.faults: FaultBoard[Fault] = FaultBoard(self._hangs_over)
        self.callbacks = Callbacks(callback_url, secret, clock)
        self.books = Books(clock, lambda payment: self.callbacks.tell(payment.told(account)))
        self.merchant = Merchant(account, secret, self.books, self.faults)
        self._sends = sends
        control = Control(self.books, self.faults, self.callbacks)
        self._serve(build_app(__name__, (self.merchant.blueprint(), control.blueprint())))

    def change_secret(self, secret: str) -> None:
        """The two sides have agreed on another key."""
        self.merchant.secret = self.callbacks.secret = secret

    def start(self) -> Self:
        if self._sends:
            self.callbacks.start()
        return super().start()

    def close(self) -> None:
        super().close()
        self.callbacks.close()
