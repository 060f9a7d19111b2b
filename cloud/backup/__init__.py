"""Backup and restore as programs: one file that knows what it is, and a restored database that knows that it was."""
