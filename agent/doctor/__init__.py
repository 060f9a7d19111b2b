"""What `coffee-agent doctor` looks at."""
