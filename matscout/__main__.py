"""``python -m matscout`` is ``matscout``."""

from matscout.cli import main

if __name__ == "__main__":
    main()
