"""``python -m sciode.cli`` is the command ``sciode``."""

from sciode.cli.app import main

if __name__ == "__main__":
    main()
