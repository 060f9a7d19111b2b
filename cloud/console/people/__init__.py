"""Who works at a merchant's console, in which role; and the platform's support access to its money."""
