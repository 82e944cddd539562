"""``python -m remotemedia``: the command line."""

import sys

from remotemedia.cli import main

if __name__ == "__main__":
    sys.exit(main())
