"""Let the tests here import the machines."""

import sys
from pathlib import Path

# The machines are modules of a package `fuzz`, which `make fuzz` runs without pytest.
sys.path.append(str(Path(__file__).parents[1]))
