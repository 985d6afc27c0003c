"""`python -m ganforge.cli`, for a source tree that is not installed and for `torchrun -m`."""

import sys

from ganforge.cli.main import main

sys.exit(main())
