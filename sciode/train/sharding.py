"""Weights spread over the processes, for what does not fit on one device."""

from collections.abc import Iterator

from accelerate import Accelerator
from torch import nn

from sciode.core.errors import InputError


def shard(objective: nn.Module, accelerator: Accelerator) -> None:
    """Spread the weights of ``objective`` over the processes, in place; each block is gathered when it is needed.

    Blocks are the entries of its lists of modules, the innermost ones; the rest is gathered for ``forward`` and
    ``errors`` as a whole. Gradients come averaged over the processes. To be called before the optimizer is built.

    Raises
    ------
    InputError
        In one process alone, for complex weights, and with fp16.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    count = accelerator.num_processes
    if count < 2:
        raise InputError(
            "sharded=True spreads the weights over processes and there is one: start it by `accelerate launch` or "
            "`torchrun`, or leave it out"
        )
    if accelerator.mixed_precision == "fp16":  # each process would scale by what it sees of the gradients
        raise InputError("sharded=True goes with precision='bf16' or 'no', not with 'fp16'")
    if wrong := [name for name, p in objective.named_parameters() if p.is_complex()]:
        raise InputError(f"sharded=True takes real weights; complex ones are in {wrong[0]}")
    # Each call moves what it spreads to the device, so that the whole is never there.
    mesh = init_device_mesh(accelerator.device.type, (count,))
    for block in blocks(objective):
        fully_shard(block, mesh=mesh)
    # The root too lets go of its whole weights after a forward pass, which by default it would keep: the average
    # is swapped in between two of them.
    fully_shard(objective, mesh=mesh, reshard_after_forward=True)
    register_fsdp_forward_method(objective, "errors")


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
