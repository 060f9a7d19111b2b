"""Draws the board of Coffee Relay for Grafana: `python3 board.py > coffee-relay.json`. One row a question.

Import the JSON, or put it where Grafana provisions dashboards from; the data source is chosen on the board.
"""

import json
from typing import Any

SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH, HEIGHT = 12, 8
OPEN = 'coffee_orders{status=~"paid|make_pending|manual_make"}'
ENDED = 'delta(coffee_orders{status=~"successful|make_failed|not_paid|failed"}[1h])'


def _slowest(metric: str, by: str, share: float = 0.99) -> str:
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket[5m])))"


def _often(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}[5m]))"


STAGE, CALL, REQUEST = "coffee_order_stage_seconds", "coffee_provider_call_seconds", "coffee_http_request_seconds"
WAIT = "coffee_machine_message_wait_seconds"
PAID_ORDERS = f'sum by (status) (increase({STAGE}_count{{stage="paid_to_finished"}}[1h]))'
CALLS, NEWS = _often(f"{CALL}_count", "provider, outcome"), _often("coffee_webhooks_total", "provider, answer")
CALLS_LAST = _slowest(CALL, "provider, method")
# Not by `or`, which drops what differs by the metric's name alone.
WORKERS = '{__name__=~"coffee_workers_alive|coffee_workers_at_broker|coffee_workers_hearing"}'
KOPECKS_TO_ROUBLES = "sum by (action) (coffee_money_at_risk_kopecks) / 100"
PANELS: list[tuple[str, str, str, str, str]] = [
    ("Money at risk, by what happens next", "roubles", KOPECKS_TO_ROUBLES, "{{action}}", "currencyRUB"),
    ("Age of the oldest of it", "by action", "coffee_money_at_risk_oldest_seconds", "{{action}}", "s"),
    ("Paid and not at their end", "orders", OPEN, "{{status}}", "none"),
    ("Orders ended in an hour", "by status", ENDED, "{{status}}", "none"),
    ("Tasks whose outcome is not known", "by lane", "coffee_outbox_unsettled", "{{lane}}", "none"),
    ("How long the oldest has been due", "by lane", "coffee_outbox_oldest_seconds", "{{lane}}", "s"),
    ("Machines", "by state", "sum by (status, online) (coffee_devices)", "{{status}}, online {{online}}", "none"),
    ("What machines told of in an hour", "events", "coffee_machine_events", "{{what}}", "none"),
    ("Workers", "alive, at the broker, hearing machines", WORKERS, "{{__name__}}", "none"),
    ("Stages of an order, 99 % within", "by stage", _slowest(STAGE, "stage"), "{{stage}}", "s"),
    ("Stages of an order, half within", "by stage", _slowest(STAGE, "stage", 0.5), "{{stage}}", "s"),
    ("Paid orders ended in an hour", "by how", PAID_ORDERS, "{{status}}", "none"),
    ("What machines said waits", "longest, now", "coffee_listener_lag_seconds", "unread", "s"),
    ("Calls to providers", "a second", CALLS, "{{provider}} {{outcome}}", "reqps"),
    ("Calls to providers, 99 % within", "by method", CALLS_LAST, "{{provider}} {{method}}", "s"),
    ("Notifications", "a second", NEWS, "{{provider}} {{answer}}", "reqps"),
    ("Reports of machines, 99 % stored within", "by kind", _slowest(WAIT, "kind"), "{{kind}}", "s"),
    ("Requests", "a second", _often(f"{REQUEST}_count", "status"), "{{status}}", "reqps"),
    ("Requests, 99 % answered within", "by route", _slowest(REQUEST, "route"), "{{route}}", "s"),
    ("Requests answered 5xx", "a second", _often(f'{REQUEST}_count{{status=~"5.."}}', "route"), "{{route}}", "reqps"),
    ("Senseless messages", "in an hour", "increase(coffee_machine_messages_senseless_total[1h])", "{{queue}}", "none"),
    ("Messages too fast", "in an hour", "increase(coffee_machine_messages_too_fast_total[1h])", "{{queue}}", "none"),
    ("Differences nobody has explained", "findings", "coffee_reconciliation_findings", "{{kind}}, {{state}}", "none"),
]  # fmt: skip


def board() -> dict[str, Any]:
    """The board as Grafana reads it."""
    return {
        "uid": "coffee-relay",
        "title": "Coffee Relay",
        "tags": ["coffee-relay"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus", "label": "Source"}]},
        "panels": [_panel(number, *panel) for number, panel in enumerate(PANELS)],
    }


def _panel(number: int, title: str, description: str, expr: str, legend: str, unit: str) -> dict[str, Any]:
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"x": WIDTH * (number % 2), "y": HEIGHT * (number // 2), "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [{"refId": "A", "datasource": SOURCE, "expr": expr, "legendFormat": legend}],
    }


if __name__ == "__main__":
    print(json.dumps(board(), indent=2, ensure_ascii=False))
