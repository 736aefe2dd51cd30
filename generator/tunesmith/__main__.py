"""``python -m tunesmith`` is ``tunesmith``."""

from tunesmith.cli import main

raise SystemExit(main())
