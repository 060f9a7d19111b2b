"""`python -m cloud` is `coffee-cloud`."""

from cloud.cli import main

main(prog_name="coffee-cloud")
