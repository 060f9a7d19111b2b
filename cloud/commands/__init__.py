"""The commands of `coffee-cloud`, by what they are about. `cloud/cli.py` holds those that run the service itself."""
