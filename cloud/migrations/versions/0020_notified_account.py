"""The shop a notification speaks of is told apart from what was sent."""

from typing import Annotated

import msgspec
import sqlalchemy as sa
from alembic import op

from protocol import json_text

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_news = sa.table("provider_news", sa.column("id"), sa.column("body"), sa.column("account_id"), sa.column("handled_at"))


def upgrade() -> None:
    """Those still waiting to be placed keep the shop that was read out of them until now."""
    connection = op.get_bind()
    if "account_id" not in {column["name"] for column in sa.inspect(connection).get_columns("provider_news")}:
        op.add_column("provider_news", sa.Column("account_id", sa.String(64), nullable=False, server_default=""))
    waiting = sa.select(_news.c.id, _news.c.body).where(_news.c.handled_at.is_(None))
    for number, body in connection.execute(waiting).all():
        connection.execute(_news.update().where(_news.c.id == number).values(account_id=_account_in(body)))


def downgrade() -> None:
    """It is read out of the body again."""
    with op.batch_alter_table("provider_news") as news:
        news.drop_column("account_id")


class _Recipient(msgspec.Struct):
    account_id: Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,64}\Z")] = ""


class _Object(msgspec.Struct):
    recipient: _Recipient


class _Envelope(msgspec.Struct):
    object: _Object


def _account_in(body: str) -> str:
    try:
        return json_text.decode(body, _Envelope).object.recipient.account_id
    except json_text.NotJson:
        return ""
