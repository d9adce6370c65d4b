"""``python -m ddpm_np``."""

from ddpm_np.cli import main

raise SystemExit(main())
