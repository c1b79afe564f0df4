"""The command line: thin commands over the library. Nothing heavy is imported before a command runs."""

from sciode.cli.app import app, main

__all__ = ["app", "main"]
