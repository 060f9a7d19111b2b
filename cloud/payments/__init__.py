"""Money at the providers: asking for it, hearing about it, giving it back."""
