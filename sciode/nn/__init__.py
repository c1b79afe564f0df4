"""Building blocks of networks on regular grids: residual blocks, conditioning on time, a U-Net, Swin blocks.

Nothing here knows about data or physical units; :mod:`sciode.surrogate` puts those around.
"""

from sciode.nn.batched import BatchedMLP
from sciode.nn.blocks import Downsample, ResidualBlock, SelfAttention, Upsample, convolution, group_norm
from sciode.nn.conditioning import FiLM, TimeFeatures
from sciode.nn.dilated import DilatedBlock
from sciode.nn.modern_unet import ModernBlock, ModernUNetBody, TransposedUpsample
from sciode.nn.patches import ConvNeXtBlock, PatchEmbedding, PatchMerging, PatchRecovery, PatchUnmerging
from sciode.nn.precision import strict_float32
from sciode.nn.swin import LeadTimeNorm, SwinBlock, WindowAttention
from sciode.nn.tensors import load_tensors, module_tensors
from sciode.nn.unet import UNetBody

__all__ = [
    "BatchedMLP",
    "ConvNeXtBlock",
    "DilatedBlock",
    "Downsample",
    "FiLM",
    "LeadTimeNorm",
    "ModernBlock",
    "ModernUNetBody",
    "PatchEmbedding",
    "PatchMerging",
    "PatchRecovery",
    "PatchUnmerging",
    "ResidualBlock",
    "SelfAttention",
    "SwinBlock",
    "TimeFeatures",
    "TransposedUpsample",
    "UNetBody",
    "Upsample",
    "WindowAttention",
    "convolution",
    "group_norm",
    "load_tensors",
    "module_tensors",
    "strict_float32",
]
