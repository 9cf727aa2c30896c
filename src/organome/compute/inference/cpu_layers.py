"""The layers of a U-Net as a processor computes them soonest, with the weights that they have.

For a single tile torch takes a slow convolution of its own where oneDNN has a quick one, makes a
batch norm of an instance norm, and scatters a transposed convolution. The numbers differ in their
last bits.
"""

import torch
from torch import nn
from torch.nn import functional


class OneDnnConvolution(nn.Conv3d):
    """A convolution by oneDNN, whatever torch would choose."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Convolve."""
        if input.dtype is not torch.float32 or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        assert not isinstance(self.padding, str)
        sizes = (self.padding, self.stride, self.dilation)
        return torch.mkldnn_convolution(input, self.weight, self.bias, *sizes, self.groups)


class ChannelNorm(nn.InstanceNorm3d):
    """An instance norm as a group norm with as many groups as channels."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise each channel of each tile."""
        return functional.group_norm(input, self.num_features, self.weight, self.bias, self.eps)


class MatrixUpsampling(nn.ConvTranspose3d):
    """A transposed convolution whose blocks do not overlap, as one product of matrices."""

    def forward(self, input: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        """Make a block of voxels of each voxel."""
        assert output_size is None
        n_tiles, n_in, z, y, x = input.shape
        block_z, block_y, block_x = self.kernel_size
        blocks = self.weight.reshape(n_in, -1).T @ input.reshape(n_tiles, n_in, -1)
        blocks = blocks.reshape(n_tiles, -1, block_z, block_y, block_x, z, y, x)
        if self.bias is not None:
            blocks += self.bias.reshape(-1, 1, 1, 1, 1, 1, 1)
        shape = (n_tiles, -1, z * block_z, y * block_y, x * block_x)
        return blocks.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(shape)


def quicken_layers(network: nn.Module) -> None:
    """Have a network compute its layers in the quickest way for a processor, where one is known.

    Args:
        network: Changed in place; its weights stay, and their names.
    """
    for layer in network.modules():
        found = _quicker(layer)
        if found is not None:
            layer.__class__ = found


def _quicker(layer: nn.Module) -> type[nn.Module] | None:
    # By their very types: what is derived from them may do something else.
    if type(layer) is nn.Conv3d:
        is_plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return OneDnnConvolution if is_plain and torch.backends.mkldnn.is_available() else None
    if type(layer) is nn.InstanceNorm3d:
        return None if layer.track_running_stats else ChannelNorm
    if type(layer) is nn.ConvTranspose3d:
        nothing = (0, 0, 0)
        tiles_space = (
            layer.kernel_size == layer.stride
            and layer.padding == layer.output_padding == nothing
            and layer.dilation == (1, 1, 1)
            and layer.groups == 1
        )
        return MatrixUpsampling if tiles_space else None
    return None
