"""The people of a merchant's console, with their roles; and the platform's support access to its money."""
