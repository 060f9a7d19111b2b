"""The database's shape, one numbered revision after another. Run by `cloud.migrate`; there is no alembic.ini."""
