"""What the agent remembers through a power cut. Decides nothing."""
