"""One command from received to poured, refused or unknown."""
