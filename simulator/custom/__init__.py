"""A merchant with its own payment page, as docs/custom-payments.md describes one; written from that page alone.

Knows nothing of the cloud. No money moves.
"""

from simulator.custom.server import CustomSimulator

__all__ = ["CustomSimulator"]
