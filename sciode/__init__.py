"""Scientific machine learning for PDEs and dynamical systems, on one shared solver layer.

Folders load when they are first used: ``import sciode`` alone imports no torch.

>>> import sciode
>>> sciode.solve.tableaus.KROGSTAD4.order
4
"""

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

_FOLDERS = ("bench", "data", "generate", "metrics", "nn", "pde", "solve", "spectral", "surrogate", "train")


def __getattr__(name: str) -> ModuleType:
    if name in _FOLDERS:
        return import_module(f"sciode.{name}")
    raise AttributeError(f"module 'sciode' has no attribute {name!r}; it has {', '.join(_FOLDERS)}")


def __dir__() -> list[str]:
    return [*globals(), *_FOLDERS]
