"""All money at risk by what happens next; tests compare the sums."""

from datetime import datetime

from sqlalchemy.orm import Session

from cloud.orders.at_risk import AtRisk, each_at_risk, summed


def at_risk(session: Session, now: datetime) -> list[AtRisk]:
    """Empty when all money is where it belongs."""
    return summed(each_at_risk(session, now), now)
