"""How each schema is laid down: a writer creates the datasets and returns where a block goes."""

from sciode.data.writers.contents import Contents, Put, Writer
from sciode.data.writers.groups import create_groups
from sciode.data.writers.tensor import create_tensor
from sciode.data.writers.variables import create_variables
from sciode.data.writers.well import create_well

WRITERS: dict[str, Writer] = {
    "pdebench-a": create_tensor,
    "pdebench-b": create_variables,
    "pdebench-c": create_groups,
    "well": create_well,
}

__all__ = ["WRITERS", "Contents", "Put", "Writer"]
