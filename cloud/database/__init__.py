"""The database: connections, the unit of work, commits in groups, wake-ups between processes."""
