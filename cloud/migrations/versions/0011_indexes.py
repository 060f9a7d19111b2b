"""Indexes for what is asked each second, each page and each night: no question reads every order there ever was."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BEFORE = ("ix_orders_device_uuid", "orders", ["device_uuid"])
"""The index by drink begins with the machine, too."""


def _where(condition: str, on_sqlite: str = "") -> dict[str, Any]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(on_sqlite or condition)}


ADDED: list[tuple[str, str, list[str], dict[str, Any]]] = [
    ("ix_orders_status", "orders", ["status"], {}),
    ("ix_orders_drink", "orders", ["device_uuid", "drink_no", "size", "created_at"], {}),
    ("ix_orders_waits_for_person", "orders", ["id"], _where("waits_for_person", "waits_for_person = 1")),
    ("ix_orders_given_back", "orders", ["id"], _where("given_back > 0")),
    ("ix_make_commands_device", "make_commands", ["device_uuid", "issued_at"], {}),
    ("ix_payments_unfinished", "payments", ["state", "started_at"], _where("state IN ('creating', 'pending', 'held')")),
    (
        "ix_payments_money_beside",
        "payments",
        ["order_id"],
        _where("captured > refunded AND (NOT live OR problem <> '')"),
    ),
    ("ix_payments_shop", "payments", ["merchant_id", "scenario", "account_id", "started_at"], {}),
    ("ix_movements_refunded", "movements", ["at"], _where("kind = 'refunded'")),
]


def upgrade() -> None:
    """An index that is there already (made by hand before this revision) stays as it is."""
    for name, table, columns, how in ADDED:
        if name not in _known(table):
            op.create_index(name, table, columns, **how)
    if BEFORE[0] in _known("orders"):
        op.drop_index(BEFORE[0], "orders")


def downgrade() -> None:
    """Slower, and nothing else."""
    if BEFORE[0] not in _known("orders"):
        op.create_index(*BEFORE)
    for name, table, _, _ in ADDED:
        if name in _known(table):
            op.drop_index(name, table)


def _known(table: str) -> set[str | None]:
    return {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}
