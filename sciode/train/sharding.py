"""Weights spread over the processes, for what does not fit on one device."""

from collections.abc import Iterator

from accelerate import Accelerator
from torch import nn

from sciode.core.errors import InputError


def shard(model: nn.Module, accelerator: Accelerator) -> None:
    """Spread the weights of ``model`` over the processes, in place; they are gathered block by block when needed.

    Blocks are the entries of its lists of modules, the innermost ones. Gradients come averaged over the
    processes. To be called before the optimizer is built.

    Raises
    ------
    InputError
        In one process alone, and for complex weights.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    count = accelerator.num_processes
    if count < 2:
        raise InputError(
            "sharded=True spreads the weights over processes and there is one: start it by `accelerate launch` or "
            "`torchrun`, or leave it out"
        )
    if wrong := [name for name, p in model.named_parameters() if p.is_complex()]:
        raise InputError(f"sharded=True takes real weights; {type(model).__name__} has complex ones: {wrong[0]}")
    model.to(accelerator.device)
    mesh = init_device_mesh(accelerator.device.type, (count,))
    for block in blocks(model):
        fully_shard(block, mesh=mesh)
    # The root too lets go of its whole weights after a forward pass, which by default it would keep: the average
    # is swapped in between two of them.
    fully_shard(model, mesh=mesh, reshard_after_forward=True)


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the entries of module lists that hold weights and no further list.

    >>> lists = nn.ModuleList([nn.ModuleList([nn.Linear(1, 1)]), nn.ReLU()])
    >>> list(blocks(nn.Sequential(lists)))
    [Linear(in_features=1, out_features=1, bias=True)]
    """
    for holder in model.modules():
        if isinstance(holder, nn.ModuleList):
            for block in holder:
                inner = any(isinstance(part, nn.ModuleList) for part in block.modules())
                if not inner and any(True for _ in block.parameters()):
                    yield block
