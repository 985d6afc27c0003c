"""BigGAN: the published size, pieces of z, the class in the norms, the start, truncation, the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_games import assert_resumes_exactly, resolved
from torch import Tensor, nn

from ganforge.cli.sample import from_run
from ganforge.core import Built, DataSpec, GanforgeError, Latent
from ganforge.core.game import Networks
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.export import export
from ganforge.plugins.blocks.attention import SelfAttention
from ganforge.plugins.conditioning.heads import Projection
from ganforge.plugins.papers.biggan import BigganOptions
from ganforge.plugins.papers.biggan.networks import ConditionalNorm, build, piece_widths
from ganforge.serve import load

SMALL = ("architecture.width=2", "architecture.embedding=4", "latent.dim=9", "accumulate=2")
CLASSES = tuple("abc")


def networks(side: int = 32, latent: int = 11, *, labelled: bool = True, **options: int) -> Networks:
    torch.manual_seed(0)
    data = DataSpec(shape=(1, side, side), classes=CLASSES)
    given = parse(BigganOptions, {"width": 2, "embedding": 5, "attention": 8, **options})
    roles: Any = frozenset({"generator"}) if labelled else frozenset()
    return build(given, Built(data=data, latent=Latent(dim=latent), labelled=roles))


def conditions(generator: nn.Module) -> list[Tensor]:
    """Fills with what each norm is given beside its maps, in a forward pass."""
    seen: list[Tensor] = []
    for layer in generator.modules():
        if isinstance(layer, ConditionalNorm):
            layer.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    return seen


# The networks.


def test_at_128_the_networks_are_the_papers() -> None:
    """158 million for 1000 classes at ch = 96 (table 1: 158.3): 70.4 and 88.0, as in the authors' PyTorch code."""
    data = DataSpec(shape=(3, 128, 128), classes=tuple(map(str, range(1000))))
    with torch.device("meta"):
        built = Built(data=data, latent=Latent(dim=120), labelled=frozenset({"generator"}))
        generator, discriminator = build(BigganOptions(), built)
        discriminator = Projection(discriminator, 1000, 16 * 96)
    sizes = [sum(p.numel() for p in network.parameters()) for network in (generator, discriminator)]
    assert sizes == [70_433_988, 87_982_370]


@pytest.mark.parametrize(("width", "pieces", "expected"), [(120, 6, [20] * 6), (11, 4, [2, 2, 2, 5])])
def test_z_is_cut_into_equal_pieces(width: int, pieces: int, expected: list[int]) -> None:
    assert piece_widths(width, pieces) == expected


@pytest.mark.parametrize("labelled", [True, False])
def test_each_block_sees_its_piece_of_z_and_the_same_embedding(labelled: bool) -> None:
    generator = networks(labelled=labelled).generator
    z, labels, seen = torch.randn(6, 11), torch.tensor([0, 1, 2, 0, 1, 2]), conditions(generator)
    first: list[Tensor] = []
    generator.project.register_forward_pre_hook(lambda _, args: first.append(args[0]))
    generator(z, labels if labelled else None)
    assert torch.equal(first[0], z[:, 6:])
    assert len(seen) == 6
    for place, condition in enumerate(seen):
        piece = z[:, 2 * (place // 2) :][:, :2]
        expected = torch.cat([generator.shared(labels), piece], dim=1) if labelled else piece
        assert torch.equal(condition, expected)


def test_what_conditioning_adds_to_z_enters_the_first_maps() -> None:
    generator, z = networks(labelled=False).generator.eval(), torch.randn(1, 11)
    seen = conditions(generator)
    generator(z)
    generator(torch.cat([z[:, :8], torch.ones(1, 3)], dim=1))
    assert all(torch.equal(a, b) for a, b in zip(seen[:6], seen[6:], strict=True))


def test_a_norm_is_one_plus_its_gain() -> None:
    """Gain 0.5 c and bias 3 c on values ±1, which are normalised already: c = 2 gives ±2 + 6, c = 0 leaves them."""
    norm = ConditionalNorm(1, 1)
    nn.init.constant_(norm.gain.weight, 0.5)
    nn.init.constant_(norm.bias.weight, 3.0)
    x = torch.tensor([[1.0, -1.0], [1.0, -1.0]]).reshape(2, 1, 1, 2)
    y = norm(x, torch.tensor([[2.0], [0.0]])).flatten()
    assert y.tolist() == pytest.approx([8, 4, 1, -1], abs=1e-3)
    assert norm.gain.bias is None
    assert norm.bias.bias is None


def test_weights_start_orthogonal_and_biases_at_zero() -> None:
    seen = 0
    for network in networks(width=3):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
                matrix = layer.weight.detach().flatten(1)
                values = torch.linalg.svdvals(matrix)
                assert torch.allclose(values, torch.ones_like(values), atol=1e-5)
                assert getattr(layer, "bias", None) is None or not layer.bias.any()
                seen += 1
    assert seen > 30


@pytest.mark.parametrize("side", [16, 32, 64, 128])
def test_the_generators_picture_depends_on_its_class(side: int) -> None:
    generator = networks(side, attention=8).generator
    images = generator(torch.randn(1, 11).expand(3, -1), torch.tensor([0, 1, 2])).images
    assert images.shape == (3, 1, side, side)
    assert (images[0] - images[1]).abs().max() > 1e-4
    assert sum(isinstance(layer, SelfAttention) for layer in generator.modules()) == 1


def test_a_z_of_fewer_numbers_than_pieces_is_refused() -> None:
    with pytest.raises(GanforgeError) as error:
        networks(32, latent=3)
    assert str(error.value) == (
        "option 'latent.dim': architecture 'biggan' cuts z into 4 pieces for this size; it needs at least 4 numbers, "
        "not 3"
    )


# The recipe.


def test_the_recipe_is_the_papers(registry: Registry) -> None:
    config = resolved(registry, "biggan", "digits")
    for player, lr, moves in ((config.generator, 5e-5, 1), (config.discriminator, 2e-4, 2)):
        assert (player.optimizer, player.lr, player.betas, player.moves) == ("adam", lr, (0.0, 0.999), moves)
    assert (config.loss.name, config.batch_size, config.ema.decay) == ("hinge", 2048, 0.9999)
    assert config.regularizers == {
        "spectral-norm": {"networks": "both", "iterations": 1},
        "orthogonal-regularization": {"form": "off-diagonal", "weight": 1e-4, "networks": "generator"},
    }
    assert (config.generator.conditioning.name, config.discriminator.conditioning.name) == ("own", "projection")
    assert config.architecture.values == {"width": 96, "attention": 8, "embedding": 128}


@pytest.mark.parametrize(("side", "attention", "dim"), [(32, 16, 80), (64, 32, 100), (128, 64, 120), (256, 64, 140)])
def test_sizes_have_the_papers_z_and_attention(registry: Registry, side: int, attention: int, dim: int) -> None:
    """Twenty numbers a piece: 120 at 128 and 140 at 256."""
    spec = registry.find("recipe", "biggan")
    settings = spec.settings(spec.options(), DataSpec(shape=(3, side, side)))
    assert (settings["architecture"]["attention"], settings["latent"]["dim"]) == (attention, dim)
    assert [settings[player]["conditioning"] for player in ("generator", "discriminator")] == ["none", "none"]


def test_without_labels_it_resumes_exactly(registry: Registry, tmp_path: Path) -> None:
    run = assert_resumes_exactly(registry, tmp_path, "biggan", "digits", *SMALL, "conditioning=none")
    assert not run.labelled


def test_it_resumes_exactly_and_truncated_or_not_its_file_gives_the_same_pictures(
    registry: Registry, tmp_path: Path
) -> None:
    run = assert_resumes_exactly(registry, tmp_path, "biggan", "digits", *SMALL)
    for layer in run.game.ema.modules():
        if isinstance(layer, SelfAttention):
            layer.gamma.fill_(1.0)
    card = export(run, tmp_path / "biggan.onnx")
    assert card.labelled
    model = load(tmp_path / "biggan.onnx")
    pictures = {}
    for truncation in (None, 0.3):
        for label in (None, "7"):
            ours = from_run(run, 10, 1, label, truncation).astype(int)
            theirs = model.sample(10, 1, label=label, truncation=truncation).astype(int)
            assert np.abs(ours - theirs).max() <= 1
            pictures[truncation, label] = theirs
    whole, truncated = (pictures[truncation, "7"].std(axis=0).mean() for truncation in (None, 0.3))
    assert truncated < 0.7 * whole
