"""A merchant's own payment page: signed redirects, questions and callbacks, behind `provider.Provider`."""
