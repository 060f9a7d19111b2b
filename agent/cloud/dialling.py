"""A connection made in a thread of its own, so that no name server can hold up the link; its threads are watched."""

import logging
import threading
from typing import Any

from agent.cloud.mqtt import Connection, Refused
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
        self._closed = False

    def open(self) -> None:
        self.is_opening = True
        self._pulse.expect(DIAL, max(RESOLVER_S, self._patience))
        threading.Thread(target=self._dial, name=DIAL, daemon=True).start()

    def close(self) -> None:
        self._closed = True
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
            self.is_opening = False
            if self._closed:  # nobody waits for it any more
                super().close()
                self._pulse.forget(NETWORK)
            self._on_change()
