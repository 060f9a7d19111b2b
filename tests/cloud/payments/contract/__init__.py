"""What the cloud relies on in every payment provider, written once and run over each with its own simulator."""
