"""By which messengers a person acts: he presses buttons there without a session (`cloud/alerts/presses.py`)."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cloud.access.models import LinkCode, LinkedPerson
from cloud.database.transaction import Transaction


def linked(session: Session, user_id: str) -> list[str]:
    """Their names."""
    found = select(LinkedPerson.messenger).where(LinkedPerson.who == user_id).distinct()
    return list(session.scalars(found.order_by(LinkedPerson.messenger)))


def unlink(tx: Transaction, user_id: str) -> None:
    """Unlink him from every messenger, and void the codes he was given to link one."""
    tx.session.execute(delete(LinkedPerson).where(LinkedPerson.who == user_id))
    tx.session.execute(delete(LinkCode).where(LinkCode.purpose == "person", LinkCode.value == user_id))
