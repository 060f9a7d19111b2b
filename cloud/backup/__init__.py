"""Backup and restore as programs: a file that says what it is, and a restored database that says it was restored."""
