"""T-Bank: the client of one terminal, behind `provider.Provider`, and its signed notifications."""
