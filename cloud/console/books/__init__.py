"""Books for the bookkeeper: what was taken, returned and kept by providers, by day and provider, and as files."""
