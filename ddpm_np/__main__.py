"""``python -m ddpm_np``."""

import sys

from ddpm_np.cli import main

sys.exit(main())
