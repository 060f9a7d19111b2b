"""The cloud: takes the payment, commands the machine, returns the money, tells the buyer."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("coffee-relay")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0"
