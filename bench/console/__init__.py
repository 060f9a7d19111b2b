"""The console with a million orders of a thousand machines behind it, and twenty people at it."""
