"""What all sections share: login, rights, layout, language, errors, and the one way to act."""
