"""Fiscal receipts (54-FZ) that go with our calls, and their registration followed to its end."""
