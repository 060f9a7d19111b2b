"""What every simulated service shares: HTTP, the control API, faults, the clock, notifications, the command line."""
