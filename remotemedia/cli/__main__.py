"""``python -m remotemedia.cli``: the same as ``python -m remotemedia``."""

import sys

from remotemedia.cli import main

if __name__ == "__main__":
    sys.exit(main())
