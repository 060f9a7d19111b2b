"""The simulated T-Bank: its acquiring API v2, its payment page and its notifications, over real HTTP on loopback.

Written from the bank's published description alone; knows nothing of the cloud or the agent. Moves no money.
"""

from simulator.tbank.server import TBankSimulator
from simulator.tbank.terminals import Terminal

__all__ = ["TBankSimulator", "Terminal"]
