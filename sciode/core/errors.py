"""The errors people see: each names the bad value and the fix."""


class SciodeError(Exception):
    """Base of every error that sciode raises on purpose."""


class InputError(SciodeError, ValueError):
    """A value that cannot be used: wrong shape, NaN, unsorted times, a negative count."""


class LayoutError(InputError):
    """A file whose contents do not fit any layout that sciode knows, or that is damaged."""


class UnknownName(InputError):
    """A name that is in no table; the message holds the nearest known one."""


class MissingExtra(SciodeError, ImportError):
    """An optional dependency is not installed; the message holds the command that installs it."""
