"""What those who run it look at: checks, metrics, reports."""
