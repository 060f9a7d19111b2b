"""Troubles and the people who hear of them: incidents, channels, rules, maintenance."""
