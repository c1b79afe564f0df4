"""The error of a training that cannot go on."""

from sciode.core.errors import SciodeError


class DivergedError(SciodeError, ArithmeticError):
    """The loss or the gradient is not finite; the last good checkpoint stays."""
