"""Let the tests here import the scripts, and keep pytest from importing them by itself."""

import sys
from pathlib import Path

HERE = Path(__file__).parent

# The scripts import one another by bare name, as Python finds them when one of them is run.
sys.path.append(str(HERE))

# peer_annbatch.py can only be imported where annbatch is.
collect_ignore = [file.name for file in HERE.glob("*.py") if not file.name.startswith("test_")]
