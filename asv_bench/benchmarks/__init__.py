"""asv benchmarks; folders and files mirror the package. Names never change: asv keeps its history under them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # scenarios, comparators
