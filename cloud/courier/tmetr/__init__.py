"""Machines without an agent: their commands, prices and heartbeats over the Tmetr HTTP API."""
