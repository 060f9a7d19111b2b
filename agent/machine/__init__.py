"""The agent's wire to the machine: port, frames, dialect, profile, requests."""
