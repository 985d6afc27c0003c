"""Semi-supervised GAN: D(x) = Z / (Z + 1), the K+1 classes, which labels are read, resume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_games import assert_resumes_exactly, resolved
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad, softplus

from ganforge.core import ArrayData, Built, DataSpec, GanforgeError, Latent
from ganforge.core.config import resolve
from ganforge.core.draw import Draw, Stream
from ganforge.core.game import Clock, Critique, Step
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.plugins.papers.sgan import LabelledOptions
from ganforge.plugins.papers.sgan.classes import KPlusOne, discriminator
from ganforge.plugins.papers.sgan.labelled import labelled_samples

SMALL = ("architecture.width=4", "latent.dim=4")
THREE = DataSpec(shape=(1, 4, 4), classes=("a", "b", "c"))


class Body(nn.Module):
    def forward(self, x: Tensor, labels: Tensor | None = None) -> Critique:
        assert labels is None
        return Critique(x.flatten(1)[:, 0], x)


def three_classes(n: int = 60) -> ArrayData:
    return ArrayData(
        THREE, np.arange(n, dtype=np.uint8)[:, None, None, None] + np.zeros((n, 1, 4, 4), np.uint8), np.arange(n) % 3
    )


def test_the_logit_is_that_of_z_over_z_plus_1() -> None:
    network = discriminator(Built(data=THREE, latent=Latent()), lambda built: Body())
    x = torch.randn(5, 1, 4, 4)
    said = network(x, torch.tensor([0, 1, 2, 0, 1]))
    z = said.aux["classes"].exp().sum(dim=1)
    assert torch.allclose(said.logits.sigmoid(), z / (z + 1))
    assert torch.equal(said.features, x)
    assert network.classes.in_features == 16


def test_both_parts_are_the_cross_entropy_of_k_plus_1_classes() -> None:
    """With the last logit at 0: of fakes as the class K+1, and of a labelled real in both parts together."""
    network = KPlusOne(Body(), 16, 3)
    x, y = torch.randn(6, 1, 4, 4), torch.tensor([0, 1, 2, 2, 1, 0])
    said = network(x)
    extended = pad(said.aux["classes"], (0, 1))
    fakes, reals = softplus(said.logits).mean(), softplus(-said.logits).mean()
    assert torch.allclose(fakes, cross_entropy(extended, torch.full((6,), 3)))
    assert torch.allclose(cross_entropy(said.aux["classes"], y) + reals, cross_entropy(extended, y))


def test_the_labelled_are_balanced_and_a_function_of_the_seed() -> None:
    data = three_classes()
    first, again, other = (labelled_samples(data, 12, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert set(first) != set(other)
    assert len(set(first)) == 12
    assert np.bincount(data.labels[first]).tolist() == [4, 4, 4]


def test_no_label_but_theirs_is_ever_used(registry: Registry) -> None:
    """Every other label is wrong: the loss is the same."""
    losses = []
    for spoiled in (False, True):
        config, data = resolve({"recipe": "sgan", "data": "digits", "architecture": {"width": 4}}, registry)
        labels = data.labels.copy()
        if spoiled:
            others = np.setdiff1d(np.arange(len(data)), labelled_samples(data, 100, config.seed))
            labels[others] = (labels[others] + 1) % 10
        game = build_game(config, data.spec, registry)
        effect = game.effects["semi-supervised"]
        effect._pool = labelled_samples(data, 100, config.seed)
        stream = Stream(ArrayData(data.spec, data.samples, labels), config.seed)
        mover = game.players[0]
        step = Step(game, mover, Draw(0, 0, mover.name, 0, 8, game.device, stream, 0), Clock(0, 1, 0))
        torch.manual_seed(0)
        losses.append((effect.penalty(step) + game.player_loss(step)).item())
    assert losses[0] == losses[1]


def test_the_recipe_is_section_5(registry: Registry) -> None:
    config = resolved(registry, "sgan", "digits")
    assert config.regularizers["semi-supervised"] == LabelledOptions().model_dump() == {"labelled": 100, "weight": 1.0}
    assert config.regularizers["feature-matching"]["added"] is False
    assert (config.generator.conditioning.name, config.discriminator.conditioning.name) == ("none", "semi-supervised")
    assert {config.generator.lr, config.discriminator.lr} == {3e-3}
    assert {config.generator.betas, config.discriminator.betas} == {(0.5, 0.999)}
    assert config.batch_size == 100


@pytest.mark.parametrize(
    ("recipe", "settings", "message"),
    [
        (
            "sgan",
            {"regularizers": {"semi-supervised": {"labelled": 15}}},
            "15 labels cannot be shared equally among 10",
        ),
        (
            "sgan",
            {"discriminator": {"conditioning": "none"}, "regularizers": {"semi-supervised": True}},
            "set discriminator.conditioning=semi-supervised",
        ),
        ("dcgan", {"regularizers": {"semi-supervised": True}}, "set discriminator.conditioning=semi-supervised"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    registry: Registry, recipe: str, settings: dict[str, object], message: str
) -> None:
    config, data = resolve({"recipe": recipe, "data": "digits", **settings}, registry)
    with pytest.raises(GanforgeError, match=message):
        build_game(config, data.spec, registry)


def test_more_labels_than_a_class_has_are_refused() -> None:
    with pytest.raises(GanforgeError, match="63 labels are 21 of each class, and one class has 20 samples"):
        labelled_samples(three_classes(), 63, 0)


def test_data_without_classes_is_refused(registry: Registry) -> None:
    with pytest.raises(GanforgeError, match="'semi-supervised' needs labels, and 'ring' has no classes"):
        resolved(registry, "sgan", "ring")


@pytest.mark.parametrize("recipe", ["sgan", "lsgan"])
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, recipe: str) -> None:
    run = assert_resumes_exactly(registry, tmp_path, recipe, "digits", *SMALL, "conditioning=semi-supervised")
    assert not run.labelled
