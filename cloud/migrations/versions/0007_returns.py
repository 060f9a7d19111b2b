"""Returns that wait for a person, parts a person gives back, and attempts that failed, in the ledger."""

import sqlalchemy as sa
from alembic import op

from cloud.migrations.append_only import protect

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

MOVED = ("held", "captured", "canceled", "refunded")
FAILED = ("create_failed", "capture_failed", "cancel_failed", "refund_failed")
KIND, GIVEN_BACK = "ck_movements_kind", "ck_orders_given_back"


def upgrade() -> None:
    """Orders that exist wait for nobody, and nothing of them was given back."""
    known = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("orders")}
    with op.batch_alter_table("orders") as orders:
        if "waits_for_person" not in known:
            orders.add_column(sa.Column("waits_for_person", sa.Boolean(), nullable=False, server_default=sa.false()))
        if "given_back" not in known:
            orders.add_column(sa.Column("given_back", sa.Integer(), nullable=False, server_default="0"))
            orders.create_check_constraint(op.f(GIVEN_BACK), sa.text("given_back >= 0 AND given_back <= price"))
    with op.batch_alter_table("movements") as movements:
        movements.create_check_constraint(op.f(KIND), sa.column("kind").in_(MOVED + FAILED))
    if op.get_context().dialect.name == "sqlite":  # the copied table has lost its triggers
        protect("movements")


def downgrade() -> None:
    """Refused while the ledger tells of failed attempts: it only grows."""
    movements_table = sa.table("movements", sa.column("kind"))
    if op.get_bind().scalar(sa.select(sa.func.count()).where(movements_table.c.kind.in_(FAILED))):
        raise RuntimeError("the ledger has failed attempts, which revision 0006 does not know")
    with op.batch_alter_table("movements") as movements:
        movements.drop_constraint(op.f(KIND), type_="check")
    if op.get_context().dialect.name == "sqlite":
        protect("movements")
    with op.batch_alter_table("orders") as orders:
        orders.drop_constraint(op.f(GIVEN_BACK), type_="check")
        orders.drop_column("given_back")
        orders.drop_column("waits_for_person")
