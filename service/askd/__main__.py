"""`python -m service` is `askd`."""

import sys

from service.cli import main

sys.exit(main())
