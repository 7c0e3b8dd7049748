"""`python -m askd` is the same as `askd`."""

import sys

from askd.cli.main import main

sys.exit(main())
