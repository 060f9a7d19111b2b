"""Development MQTT broker, 5 and 3.1.1: in a thread, on loopback only, with faults to order. Not for production.

Bytes go up: line, packets, conversation, switchboard, session; and down again the same way. Only `line`
and `server` touch sockets and clocks.
"""

from simulator.broker.faults import Faults
from simulator.broker.hub import Access
from simulator.broker.limits import Limits
from simulator.broker.server import Broker, NotLoopback
from simulator.broker.switchboard import Memory

__all__ = ["Access", "Broker", "Faults", "Limits", "Memory", "NotLoopback"]
