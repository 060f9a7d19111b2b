"""Nobody is waited for any more to decide about money that is back already."""

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None
breaks_older = False

_orders = sa.table("orders", sa.column("id"), sa.column("waits_for_person", sa.Boolean()))
_payments = sa.table(
    "payments", sa.column("order_id"), sa.column("state"), sa.column("captured"), sa.column("refunded")
)


def upgrade() -> None:
    """An order waited for ever once its money had gone back in the cabinet, or with its hold."""
    its = _payments.c.order_id == _orders.c.id
    may_have_money = sa.or_(
        _payments.c.state.in_(["creating", "pending", "held"]), _payments.c.captured > _payments.c.refunded
    )
    ended = sa.and_(sa.exists().where(its), ~sa.exists().where(its, may_have_money))
    op.execute(sa.update(_orders).where(_orders.c.waits_for_person, ended).values(waits_for_person=False))


def downgrade() -> None:
    """What has ended stays so."""
