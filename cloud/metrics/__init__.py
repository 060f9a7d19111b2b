"""Counters and histograms: counted in memory, folded into the database, told in Prometheus' text format."""
