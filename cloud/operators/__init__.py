"""What the people who run it look at: checks, metrics, reports."""
