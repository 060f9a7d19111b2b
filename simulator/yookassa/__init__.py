"""The simulated YooKassa: the provider's API v3, its payment page and its notifications, over real HTTP on loopback.

Written from the provider's published contract alone; knows nothing of the cloud or the agent. Moves no money.
"""

from simulator.yookassa.server import YooKassaSimulator
from simulator.yookassa.shops import Shop

__all__ = ["Shop", "YooKassaSimulator"]
