"""A connection made in a thread of its own, so that no name server can hold up the link; its threads are watched."""

import logging
import threading
from typing import Any

from agent.cloud.mqtt import GOODBYE_S, Connection, Refused
from agent.health import Pulse

RESOLVER_S = 120.0
"""Without a network the system's resolver can hold a connect this long."""
DIAL, NETWORK = "dial", "network"
log = logging.getLogger(__name__)


class Dialled(Connection):
    """`open` returns at once; `is_opening` while the broker is being looked for."""

    def __init__(self, *args: Any, pulse: Pulse, patience: float, **more: Any) -> None:
        super().__init__(*args, beat=lambda: pulse.beat(NETWORK), **more)
        self._pulse = pulse
        self._patience = patience
        self._dialling = threading.Thread(target=self._dial, name=DIAL, daemon=True)
        self._end = threading.Lock()
        """Dialling ends or `close` begins: one after the other, so that one of them parts from the broker, once."""
        self._closed = False

    def open(self) -> None:
        self.is_opening = True
        self._pulse.expect(DIAL, max(RESOLVER_S, self._patience))
        self._dialling.start()

    def close(self) -> None:
        """While the broker is still being looked for, the thread that looks closes what it finds; it gets a moment."""
        with self._end:
            self._closed = True
            is_opening = self.is_opening
        if is_opening:
            self._dialling.join(GOODBYE_S)
        else:
            self._part()

    def _part(self) -> None:
        super().close()
        self._pulse.forget(NETWORK)

    def _dial(self) -> None:
        try:
            super().open()
            self._pulse.expect(NETWORK, self._patience)
        except Refused as refused:
            self.is_unreachable = True
            self._lose(f"no broker: {refused}")
        except Exception:
            log.exception("the connection could not be made")
            self._lose("an error of ours")
        finally:
            self._pulse.forget(DIAL)
            with self._end:
                self.is_opening = False
                closed = self._closed
            if closed:
                self._part()
            self._on_change()
