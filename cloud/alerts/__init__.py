"""Alerts: a rule sees a condition, a condition makes an incident, an incident makes few messages (docs/alerts.md)."""
