"""The database's shape, one numbered revision after another. Run by `migrate.py`; there is no alembic.ini."""
