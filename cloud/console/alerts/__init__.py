"""Troubles and who is told of them: incidents, channels, rules, maintenance."""
