"""Each quick layer against the one of torch that it stands for, in double precision."""

import pytest
import torch
from torch import nn

from organome.compute.inference.cpu_layers import quicken_layers

LAYERS: dict[str, nn.Module] = {
    "first": nn.Conv3d(1, 8, 3, padding=1),
    "strided": nn.Conv3d(4, 6, 3, stride=(1, 2, 2), padding=1),
    "no bias": nn.Conv3d(4, 6, 3, padding=1, bias=False),
    "flat kernel": nn.Conv3d(4, 6, (1, 3, 3), padding=(0, 1, 1)),
    "dilated groups": nn.Conv3d(4, 6, 3, padding=2, dilation=2, groups=2),
    "outputs": nn.Conv3d(4, 41, 1),
    "norm": nn.InstanceNorm3d(4, affine=True),
    "norm without weights": nn.InstanceNorm3d(4, eps=0.3),
    "upsampling": nn.ConvTranspose3d(4, 6, 2, stride=2),
    "upsampling of two axes": nn.ConvTranspose3d(4, 6, (1, 2, 3), stride=(1, 2, 3), bias=False),
}
LEFT_ALONE: dict[str, nn.Module] = {
    "another padding": nn.Conv3d(4, 6, 3, padding=1, padding_mode="reflect"),
    "padding by name": nn.Conv3d(4, 6, 3, padding="same"),
    "blocks that overlap": nn.ConvTranspose3d(4, 6, 3, stride=2),
    "blocks with gaps": nn.ConvTranspose3d(4, 6, 2, stride=2, output_padding=1),
    "groups of blocks": nn.ConvTranspose3d(4, 6, 2, stride=2, groups=2),
    "norm that remembers": nn.InstanceNorm3d(4, track_running_stats=True),
    "derived": type("Derived", (nn.Conv3d,), {})(4, 6, 3),
    "two axes": nn.Conv2d(4, 6, 3),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_quick_layer_gives_what_torch_gives(name: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name]
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    tiles = torch.randn(2, 1 if name == "first" else 4, 5, 6, 7) + 3
    with torch.inference_mode():
        expected = layer.double()(tiles.double())
        before = layer.float().state_dict()
        network = nn.Sequential(layer, nn.Sequential(layer))  # as blocks of nnU-Net hold theirs
        quicken_layers(network)
        found = layer(tiles)
    assert type(layer).__module__ == "organome.compute.inference.cpu_layers"
    # A sum is rounded by the size of its terms: where they cancel, its own size says nothing.
    torch.testing.assert_close(
        found.double(), expected, rtol=0, atol=1e-5 * float(expected.abs().max())
    )
    after = layer.state_dict()
    assert {name: value.data_ptr() for name, value in before.items()} == {
        name: value.data_ptr() for name, value in after.items()
    }


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_a_layer_that_is_something_else_is_left_alone(name: str) -> None:
    kind = type(LEFT_ALONE[name])
    quicken_layers(LEFT_ALONE[name])
    assert type(LEFT_ALONE[name]) is kind
