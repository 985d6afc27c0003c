"""Virtual batch norm: its statistics by hand, no mixing of samples, averages, files."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from small_games import assert_resumes_exactly
from torch import Tensor, nn

from ganforge.core import GanforgeError, train
from ganforge.core.config import parse_settings, resolve
from ganforge.core.game import Game
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.export import export
from ganforge.plugins.tricks.virtual_batch_norm.norm import VirtualBatchNorm

VBN = "regularizers.virtual-batch-norm.reference=8"
DCGAN = ("recipe=dcgan", "data=digits", "architecture.width=4")
CONDITIONAL = (*DCGAN, "generator.conditioning=conditional-batch-norm")
ZOO = ("recipe=vanilla", "data=digits", "recipe.stack=zoo")
SMALL = ("observers=[]", "batch_size=4", "steps=3", "every=3", "samples=4", "machine.threads=1")


def built(registry: Registry, *settings: str) -> Game:
    config, data = resolve(parse_settings([*SMALL, *settings]), registry)
    return build_game(config, data.spec, registry)


def numbers(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def norms(network: nn.Module) -> list[VirtualBatchNorm]:
    return [module for module in network.modules() if isinstance(module, VirtualBatchNorm)]


# The layer.


@pytest.mark.parametrize(("kind", "shape"), [(nn.BatchNorm2d, (3, 4, 5)), (nn.BatchNorm1d, (3,))])
@pytest.mark.parametrize("affine", [True, False])
def test_the_reference_is_normalised_as_by_batch_norm(kind: Any, shape: tuple[int, ...], affine: bool) -> None:
    norm = kind(3, affine=affine)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = 3 * numbers(8, *shape) + 1
    assert torch.allclose(VirtualBatchNorm(norm, 8)(x), norm.train()(x), atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 4, 5), (3,)])
def test_a_sample_is_normalised_by_the_reference_and_itself(shape: tuple[int, ...]) -> None:
    """The authors' code: E[x] and E[x²] of the example and of n references, weighed 1/(n+1) and n/(n+1)."""
    layer = VirtualBatchNorm(nn.BatchNorm1d(3, eps=1e-5), 8)
    reference, x = 2 * numbers(8, *shape) + 1, numbers(5, *shape, seed=2) - 2
    layer(reference)
    found = layer(x)
    for i in range(5):
        for c in range(3):
            own, theirs = x[i, c], reference[:, c]
            mean = own.mean() / 9 + theirs.mean() * 8 / 9
            square = own.square().mean() / 9 + theirs.square().mean() * 8 / 9
            assert torch.allclose(found[i, c], (own - mean) / (square - mean**2 + 1e-5).sqrt(), atol=1e-4)


def test_it_keeps_the_scale_and_shift_that_were_there() -> None:
    norm = nn.BatchNorm2d(3)
    layer = VirtualBatchNorm(norm, 8)
    assert layer.weight is norm.weight
    assert layer.bias is norm.bias
    assert not dict(layer.named_buffers())


# In a generator.


@pytest.mark.parametrize("settings", [DCGAN, CONDITIONAL, ZOO], ids=["maps", "conditional", "vectors"])
def test_a_sample_does_not_depend_on_its_batch(registry: Registry, settings: tuple[str, ...]) -> None:
    generator = built(registry, *settings, VBN).networks["generator"]
    assert norms(generator)
    assert not [m for m in generator.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    z, y = numbers(6, 100), torch.arange(6)
    together = generator(z, y).images
    alone = torch.cat([generator(z[i : i + 1], y[i : i + 1]).images for i in range(6)])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.equal(copy.deepcopy(generator).eval()(z, y).images, together)
    assert (together[0] - together[1]).abs().max() > 0.01


def test_the_gradient_flows_through_the_reference(registry: Registry) -> None:
    generator = built(registry, *DCGAN, VBN).networks["generator"]
    norm = norms(generator)[0]
    norm.register_forward_hook(lambda layer, args, out: layer.reference[0].retain_grad())
    kept: list[Tensor] = []
    norm.register_forward_hook(lambda layer, args, out: kept.append(layer.reference[0]))
    generator(numbers(4, 100)).images.square().sum().backward()
    assert kept[-1].grad.abs().max() > 0


def test_statistics_are_forgotten_after_each_pass_and_after_a_failed_one(registry: Registry) -> None:
    generator = built(registry, *DCGAN, VBN).networks["generator"]
    generator(numbers(4, 100))
    assert [norm.reference for norm in norms(generator)] == [None] * len(norms(generator))
    with pytest.raises(RuntimeError):
        generator(numbers(4, 99))
    assert [norm.reference for norm in norms(generator)] == [None] * len(norms(generator))


def test_the_reference_is_a_function_of_the_seed_with_every_class(registry: Registry) -> None:
    first, again, other = (built(registry, *DCGAN, VBN, f"seed={s}").networks["generator"] for s in (0, 0, 1))
    assert first.reference_latents.shape == (8, 100)
    assert torch.equal(first.reference_latents, again.reference_latents)
    assert not torch.equal(first.reference_latents, other.reference_latents)
    assert first.reference_latents.abs().max() <= 1  # DCGAN's latents are uniform
    assert first.reference_labels.tolist() == list(range(8))
    assert {"reference_latents", "reference_labels"} < set(first.state_dict())


def test_the_average_is_normalised_by_statistics_of_its_own_weights(registry: Registry, tmp_path: Path) -> None:
    request = parse_settings([*SMALL, *DCGAN, VBN, "generator.lr=0.01", "ema.decay=0.9"])
    game = train(request, tmp_path / "run", registry=registry).game
    average, live = game.ema["generator"], game.networks["generator"]
    assert torch.equal(average.reference_latents, live.reference_latents)
    assert torch.equal(average.reference_labels, live.reference_labels)
    z = numbers(4, 100)
    expected = copy.deepcopy(live)
    with torch.no_grad():
        for one, other in zip(expected.parameters(), average.parameters(), strict=True):
            one.copy_(other)
        assert torch.equal(average(z).images, expected(z).images)
        assert not torch.equal(average(z).images, live(z).images)


@pytest.mark.parametrize(("recipe", "data"), [("vanilla", "ring"), ("vanilla", "digits")])
def test_a_generator_without_batch_norm_is_refused(registry: Registry, tmp_path: Path, recipe: str, data: str) -> None:
    with pytest.raises(GanforgeError) as error:
        train(parse_settings([*SMALL, f"recipe={recipe}", f"data={data}", VBN]), tmp_path / "run", registry=registry)
    assert str(error.value) == (
        "regularizer 'virtual-batch-norm': the generator of architecture 'mlp' has no batch norm to replace"
    )
    assert not (tmp_path / "run").exists()


def test_it_trains_on_single_samples(registry: Registry, tmp_path: Path) -> None:
    settings = (*SMALL, *DCGAN, VBN, "architecture.discriminator_norm=none", "batch_size=1")
    assert np.isfinite(train(parse_settings(list(settings)), tmp_path / "run", registry=registry).sample(2)).all()


@pytest.mark.parametrize("settings", [DCGAN, ZOO], ids=["maps", "vectors"])
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, settings: tuple[str, ...]) -> None:
    recipe, data = (setting.partition("=")[2] for setting in settings[:2])
    assert_resumes_exactly(registry, tmp_path, recipe, data, *settings[2:], VBN)


# In a file.


@pytest.mark.parametrize(
    "settings",
    [pytest.param(DCGAN, marks=pytest.mark.slow), CONDITIONAL, pytest.param(ZOO, marks=pytest.mark.slow)],
    ids=["maps", "conditional", "vectors"],
)
def test_the_file_gives_what_the_network_gives(registry: Registry, tmp_path: Path, settings: tuple[str, ...]) -> None:
    run = train(parse_settings([*SMALL, *settings, VBN]), tmp_path / "run", registry=registry)
    path = tmp_path / "model.onnx"
    card = export(run, path)
    assert card.parity.max_difference <= card.parity.tolerance
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    z = run.game.latent.sample(5, 7)
    feed = card.feed(z, np.arange(7))
    whole = session.run(None, feed)[0]
    rows = [session.run(None, {k: v[i : i + 1] for k, v in feed.items()})[0] for i in range(7)]
    np.testing.assert_allclose(np.concatenate(rows), whole, atol=1e-5)
    np.testing.assert_allclose(whole, run.game.sample(z, np.arange(7)), atol=1e-4)
    # The reference's pass is computed when the file is opened, not at each call.
    heavy = ("ConvTranspose", "Gemm", "MatMul", "FusedGemm", "FusedMatMul")
    computed = sum(node.op_type in heavy for node in onnx.load(options.optimized_model_filepath).graph.node)
    generator = run.game.networks["generator"]
    assert computed == sum(isinstance(layer, nn.Linear | nn.ConvTranspose2d) for layer in generator.modules())
