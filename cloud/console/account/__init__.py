"""One's own account: name and tastes, password, second factor, sessions."""
