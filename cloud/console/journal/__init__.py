"""The journal of acts, and taking one back."""
