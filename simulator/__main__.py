"""`python -m simulator` is `coffee-simulator`."""

import sys

from simulator.cli import main

sys.exit(main())
