"""An order may end as `make_failed`, and a device may have a note for it. Rows that exist stay as they are."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NOTE = "client_info_make_failed"
EIGHT = ("created", "pending", "paid", "make_pending", "manual_make", "successful", "not_paid", "failed")


def upgrade() -> None:
    """A database that already has the column (added by hand before this revision) keeps what is in it."""
    if not _has_note():
        op.add_column("devices", sa.Column(NOTE, sa.Text(), nullable=True))
    _allow(*EIGHT, "make_failed")


def downgrade() -> None:
    """Refused while an order is `make_failed`: no older status says the truth about it."""
    if op.get_bind().scalar(sa.text("SELECT count(*) FROM orders WHERE status = 'make_failed'")):
        raise RuntimeError("there are make_failed orders, which revision 0001 cannot store")
    _allow(*EIGHT)
    if _has_note():
        with op.batch_alter_table("devices") as devices:
            devices.drop_column(NOTE)


def _has_note() -> bool:
    return NOTE in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("devices")}


def _allow(*statuses: str) -> None:
    name = op.f("ck_orders_status")
    with op.batch_alter_table("orders") as orders:
        orders.drop_constraint(name, type_="check")
        orders.create_check_constraint(name, sa.column("status").in_(statuses))
