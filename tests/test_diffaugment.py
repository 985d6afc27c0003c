"""DiffAugment: every policy image by image and by hand, gradients through it, and on whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from small_games import assert_resumes_exactly, make_game, mlp_critic
from torch import Tensor

from ganforge.core import GanforgeError
from ganforge.core.draw import Draw
from ganforge.core.game import Clock
from ganforge.core.registry import Registry
from ganforge.plugins.tricks.diffaugment import DiffAugmentOptions
from ganforge.plugins.tricks.diffaugment import policies as p
from ganforge.plugins.tricks.diffaugment.policies import DiffAugment

CLOCK = Clock(0, 10, 0)


def draw(n: int, scope: str = "") -> Draw:
    return Draw(0, 0, "discriminator", 0, n, torch.device("cpu"), cast(Any, None), 0, scope)


def pictures(n: int = 5, channels: int = 3, height: int = 16, width: int = 24) -> Tensor:
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_brightness_by_hand() -> None:
    x, d = pictures(), draw(5)
    drawn = d.uniform("brightness", 1, 1, 1).flatten()
    for i, image in enumerate(p.brightness(x, d)):
        assert torch.allclose(image, x[i] + drawn[i] - 0.5)


def test_saturation_by_hand() -> None:
    x, d = pictures(), draw(5)
    drawn = d.uniform("saturation", 1, 1, 1).flatten()
    for i, image in enumerate(p.saturation(x, d)):
        grey = (x[i, 0] + x[i, 1] + x[i, 2]) / 3
        assert torch.allclose(image, torch.stack([grey + 2 * drawn[i] * (c - grey) for c in x[i]]), atol=1e-6)


def test_grey_images_have_no_saturation() -> None:
    x = pictures(channels=1)
    assert torch.equal(p.saturation(x, draw(5)), x)


def test_contrast_by_hand() -> None:
    x, d = pictures(), draw(5)
    drawn = d.uniform("contrast", 1, 1, 1).flatten()
    for i, image in enumerate(p.contrast(x, d)):
        assert torch.allclose(image, x[i].mean() + (0.5 + drawn[i]) * (x[i] - x[i].mean()), atol=1e-6)


def test_translation_by_hand() -> None:
    """Up to an eighth of 16 rows and of 24 columns; what comes in is 0."""
    n = 300
    x, d = pictures(n), draw(n)
    down, right = 2 - d.integers("down", 5, 1).flatten(), 3 - d.integers("right", 7, 1).flatten()
    assert (set(down.tolist()), set(right.tolist())) == (set(range(-2, 3)), set(range(-3, 4)))
    for i, image in enumerate(p.translation(x, d, 0.125)):
        expected = torch.zeros_like(image)
        for row in range(16):
            for column in range(24):
                source = row - int(down[i]), column - int(right[i])
                if 0 <= source[0] < 16 and 0 <= source[1] < 24:
                    expected[:, row, column] = x[i, :, source[0], source[1]]
        assert torch.equal(image, expected)
        if i == 20:
            break


@pytest.mark.parametrize("share", [0.5, 0.3])
def test_cutout_is_the_authors(share: float) -> None:
    """Their code marks every position of the rectangle, clamped to the picture; 0.3 of 16 is 5, an odd side."""
    n = 60
    x, d = pictures(n) + 3, draw(n)
    sides = [int(16 * share + 0.5), int(24 * share + 0.5)]
    rows = d.integers("cutout/rows", 17 - sides[0] % 2, 1).flatten().tolist()
    columns = d.integers("cutout/columns", 25 - sides[1] % 2, 1).flatten().tolist()
    for i, image in enumerate(p.cutout(x, d, share)):
        expected = x[i].clone()
        for a in range(sides[0]):
            for b in range(sides[1]):
                row = min(max(a + rows[i] - sides[0] // 2, 0), 15)
                column = min(max(b + columns[i] - sides[1] // 2, 0), 23)
                expected[:, row, column] = 0
        assert torch.equal(image, expected)


def test_cutout_reaches_every_place() -> None:
    cut = p.cutout(torch.ones(2000, 1, 16, 16), draw(2000), 0.5).mean(dim=0)[0]
    assert cut.max() < 1
    assert cut[8, 8].item() == pytest.approx(1 - (8 / 17) ** 2, abs=0.05)
    assert cut[0, 0].item() == pytest.approx(1 - (5 / 17) ** 2, abs=0.05)


def test_the_policies_follow_each_other() -> None:
    x, d = pictures(), draw(5)
    expected = p.contrast(p.saturation(p.brightness(x, d), d), d)
    expected = p.cutout(p.translation(expected, d, 0.125), d, 0.5)
    assert torch.equal(DiffAugment(DiffAugmentOptions()).view(x, d, CLOCK), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_both_pictures_of_a_pair_have_the_same_colours(channels: int) -> None:
    effect, d = DiffAugment(DiffAugmentOptions(translation=0, cutout=0)), draw(5)
    effect.channels = channels
    one, two = pictures(channels=channels), pictures(channels=channels).flip(3)
    pair = effect.view(torch.cat([one, two], dim=1), d, CLOCK)
    assert torch.equal(pair, torch.cat([effect.view(one, d, CLOCK), effect.view(two, d, CLOCK)], dim=1))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"colour": True}, lambda x, d: p.contrast(p.saturation(p.brightness(x, d), d), d)),
        ({"translation": 0.25}, lambda x, d: p.translation(x, d, 0.25)),
        ({"cutout": 0.25}, lambda x, d: p.cutout(x, d, 0.25)),
        ({}, lambda x, d: x),
    ],
)
def test_each_can_be_had_alone(options: dict[str, Any], expected: Any) -> None:
    nothing = {"colour": False, "translation": 0, "cutout": 0}
    x, d = pictures(), draw(5)
    assert torch.equal(DiffAugment(DiffAugmentOptions(**nothing | options)).view(x, d, CLOCK), expected(x, d))


def test_every_image_has_its_own_numbers_and_so_has_every_scope() -> None:
    x = pictures(1).expand(6, -1, -1, -1)
    effect = DiffAugment(DiffAugmentOptions())
    seen = torch.cat([effect.view(x, draw(6, scope), CLOCK) for scope in ("real/", "fake/")])
    assert len({image.numpy().tobytes() for image in seen}) == 12


def test_it_can_be_differentiated_twice() -> None:
    effect, d = DiffAugment(DiffAugmentOptions(translation=0.3)), draw(2)
    x = pictures(2, 2, 5, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: effect.view(x, d, CLOCK), x)
    assert torch.autograd.gradgradcheck(lambda x: effect.view(x, d, CLOCK) ** 2, x)


def test_points_are_refused() -> None:
    with pytest.raises(GanforgeError) as error:
        make_game(mlp_critic(), diffaugment=DiffAugment(DiffAugmentOptions()))
    assert str(error.value) == ("regularizer 'diffaugment' changes images, not points with 2 coordinates; leave it out")


def test_training_resumes_exactly(registry: Registry, tmp_path: Path) -> None:
    """With R1, which differentiates the augmentation twice."""
    chosen = "regularizers.diffaugment=true", "regularizers.r1=true"
    assert_resumes_exactly(registry, tmp_path, "dcgan", "digits", "architecture.width=4", *chosen)
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert np.std([line["penalty/r1"] for line in lines]) > 0
