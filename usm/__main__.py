"""`python3 -m usm`: the command without an installed script."""

import sys

from usm.cli import main

if __name__ == "__main__":
    sys.exit(main())
