"""The simulated Tmetr API: three calls over real HTTP on loopback, the machines behind it, and its own count of cups.

Written from the published facts alone (docs/machine-protocol.md 1.5); knows nothing of the cloud or the agent.
"""

from simulator.tmetr.machines import Cup, Machine
from simulator.tmetr.server import TmetrSimulator

__all__ = ["Cup", "Machine", "TmetrSimulator"]
