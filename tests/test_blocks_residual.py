"""Residual blocks: the same function as the textbook's order, sizes, and what the first block may not cut."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

from ganforge.plugins.blocks.residual import DownBlock, UpBlock, glorot


def pictures(channels: int) -> torch.Tensor:
    return torch.randn(3, channels, 8, 8, generator=torch.Generator().manual_seed(0))


def up(x: torch.Tensor) -> torch.Tensor:
    return interpolate(x, scale_factor=2)


def test_up_is_the_papers_block() -> None:
    block, x = UpBlock(4, 6), pictures(4)
    before = x.clone()
    branch = block.conv2(block.norm2(block.conv1(up(block.norm1(x).relu()))).relu())
    expected = branch + block.shortcut(up(x))
    assert torch.allclose(block(x), expected, atol=1e-5)
    assert block(x).shape == (3, 6, 16, 16)
    assert torch.equal(x, before)


def test_up_takes_another_normalisation() -> None:
    block = UpBlock(4, 6, norm=lambda channels: nn.GroupNorm(2, channels))
    assert [type(block.norm1), type(block.norm2)] == [nn.GroupNorm, nn.GroupNorm]
    assert (block.norm1.num_channels, block.norm2.num_channels) == (4, 6)


@pytest.mark.parametrize("first", [False, True])
def test_down_is_the_papers_block(first: bool) -> None:
    block, x = DownBlock(4, 6, first=first), pictures(4)
    before = x.clone()
    branch = block.conv2(block.conv1(x if first else x.relu()).relu())
    expected = avg_pool2d(branch, 2) + avg_pool2d(block.shortcut(x), 2)
    assert torch.allclose(block(x), expected, atol=1e-5)
    assert block(x).shape == (3, 6, 4, 4)
    assert torch.equal(x, before)


@pytest.mark.parametrize(("outputs", "learned"), [(4, False), (6, True)])
def test_without_down_the_size_stays_and_the_shortcut_is_plain_where_it_can_be(outputs: int, learned: bool) -> None:
    block, x = DownBlock(4, outputs, down=False), pictures(4)
    assert block(x).shape == (3, outputs, 8, 8)
    assert isinstance(block.shortcut, nn.Conv2d) == learned
    nn.init.zeros_(block.conv2.weight)
    assert torch.equal(block(x), block.shortcut(x))


def test_glorot_has_the_papers_range_and_no_bias() -> None:
    layer = glorot(nn.Linear(200, 100), 2**0.5)
    bound = 2**0.5 * (6 / 300) ** 0.5
    assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert layer.bias.abs().max() == 0
