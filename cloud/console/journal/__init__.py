"""The journal of acts, and undoing one."""
