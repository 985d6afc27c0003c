"""Minibatch discrimination and minibatch standard deviation: by hand, in any critic, and in resumed runs."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from feature_critics import FeatureCritic
from small_games import assert_resumes_exactly, make_game, make_step, mlp_critic, move
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils import parametrize

from ganforge.core import GanforgeError, Run, distributed, train
from ganforge.core.game import Effect
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.plugins.blocks.minibatch_stddev import MinibatchStdDev
from ganforge.plugins.builtin import BUILTIN
from ganforge.plugins.papers.sngan import SpectralNormOptions
from ganforge.plugins.papers.sngan.norm import SpectralNormalisation
from ganforge.plugins.papers.vanilla import CrossEntropyOptions
from ganforge.plugins.papers.vanilla.losses import NonSaturating
from ganforge.plugins.tricks.minibatch_discrimination import MinibatchDiscriminationOptions
from ganforge.plugins.tricks.minibatch_discrimination.similarity import MinibatchDiscrimination, Similarity
from ganforge.plugins.tricks.minibatch_stddev import MinibatchStdDevOptions
from ganforge.plugins.tricks.minibatch_stddev.term import MinibatchStdDevEffect


def discrimination(**options: object) -> MinibatchDiscrimination:
    return MinibatchDiscrimination(parse(MinibatchDiscriminationOptions, options))


def stddev(**options: object) -> MinibatchStdDevEffect:
    return MinibatchStdDevEffect(parse(MinibatchStdDevOptions, options))


def numbers(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Minibatch discrimination.


def test_the_similarities_are_the_equations() -> None:
    """o_b(x_i) = Σ_j exp(-Σ_c |M_ibc - M_jbc|), M_ibc = Σ_a f_ia T_abc, in plain loops."""
    layer, f = Similarity(4, kernels=3, dim=2), numbers(5, 4)
    tensor = layer.tensor.weight.detach().T.unflatten(1, (3, 2))  # A × B × C
    m = [[[sum(f[i, a] * tensor[a, b, c] for a in range(4)) for c in range(2)] for b in range(3)] for i in range(5)]

    def o(i: int, b: int) -> float:
        return sum(math.exp(-sum(abs(m[i][b][c] - m[j][b][c]) for c in range(2))) for j in range(5))

    by_hand = torch.tensor([[o(i, b) for b in range(3)] for i in range(5)])
    assert torch.allclose(layer(f), by_hand, rtol=1e-5)


def test_a_sample_is_like_its_copies_and_unlike_far_ones() -> None:
    layer = Similarity(4, kernels=3, dim=2)
    assert torch.allclose(layer(torch.ones(6, 4)), torch.full((6, 3), 6.0))
    assert torch.allclose(layer(1e4 * numbers(6, 4)), torch.ones(6, 3))


def test_the_kernels_have_length_one_at_the_start() -> None:
    torch.manual_seed(0)
    columns = Similarity(4000, kernels=3, dim=2).tensor.weight.norm(dim=1)
    assert columns.tolist() == pytest.approx([1] * 6, rel=0.1)


def test_two_processes_see_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, f = Similarity(4, kernels=3, dim=2), numbers(6, 4)
    whole = layer(f)
    rows = layer.tensor(f).unflatten(1, (3, 2))
    monkeypatch.setattr(distributed, "gather", lambda own: rows)
    assert torch.allclose(torch.cat([layer(f[:3]), layer(f[3:])]), whole)


# Both, in a critic.


def term(effect: Effect) -> str:
    return "minibatch_discrimination" if isinstance(effect, MinibatchDiscrimination) else "minibatch_stddev"


def appended(critic: nn.Module, effect: Effect, features: Tensor) -> Tensor:
    """What the paper appends to the features."""
    layer = critic.get_submodule(term(effect))
    if isinstance(effect, MinibatchDiscrimination):
        return layer.similarity(features)
    return layer.stddev(features)[:, -1:]


@pytest.mark.parametrize("logits", [1, 3])
@pytest.mark.parametrize("make", [discrimination, stddev])
def test_it_is_the_last_layer_of_the_appended_features(make: Any, logits: int) -> None:
    effect, plain = make(), FeatureCritic(logits=logits)
    critic = make_game(copy.deepcopy(plain), trick=effect).networks["discriminator"]
    weigh = critic.get_submodule(term(effect)).weigh.weight
    assert weigh.abs().min() > 0
    nn.init.normal_(weigh)
    x = numbers(8, 2)
    f = plain(x).features
    weight = torch.cat([plain.last.weight, weigh], dim=1)
    expected = linear(torch.cat([f, appended(critic, effect, f)], dim=1), weight, plain.last.bias)
    assert torch.allclose(critic(x).logits, expected.squeeze(1), atol=1e-5)
    assert not torch.allclose(critic(x).logits, plain(x).logits, atol=1e-2)


@pytest.mark.parametrize("make", [discrimination, stddev])
def test_nothing_else_of_the_critic_changes(make: Any) -> None:
    plain = FeatureCritic(maps=(2, 2, 2))
    game = make_game(copy.deepcopy(plain), trick=make())
    critic, x, labels = game.networks["discriminator"], numbers(8, 2), torch.arange(8)
    found, expected = critic(x, labels), plain(x)
    assert critic.seen[-1] is labels
    assert torch.equal(found.features, expected.features)
    assert torch.equal(found.aux["own"], expected.aux["own"])
    assert found.logits.shape == expected.logits.shape
    assert set(plain.state_dict()) < set(critic.state_dict())
    game.configure("discriminator", stage=3)
    assert critic.stage == 3


@pytest.mark.parametrize("make", [discrimination, stddev])
def test_the_new_weights_are_the_discriminators_and_a_copys_are_its_own(make: Any) -> None:
    game = make_game(FeatureCritic(), NonSaturating(parse(CrossEntropyOptions, {})), trick=make())
    critic = game.networks["discriminator"]
    before = copy.deepcopy(critic)
    move(game)
    moved = {n for n, p in critic.named_parameters() if not torch.equal(p, before.get_parameter(n))}
    assert {n for n in moved if n.startswith("minibatch")} == {n for n in moved if "." in n and "minibatch" in n}
    assert any(n.startswith("minibatch") for n in moved)
    x = numbers(8, 2)
    assert not torch.allclose(before(x).logits, critic(x).logits)
    assert torch.equal(before(x).logits, copy.deepcopy(before)(x).logits)


@pytest.mark.parametrize("make", [discrimination, stddev])
def test_spectral_norm_after_it_reaches_its_layers_and_before_it_does_not(make: Any) -> None:
    norm = SpectralNormalisation(parse(SpectralNormOptions, {}))
    for effects, reached in (({"a": make(), "b": norm}, True), ({"b": norm, "a": make()}, False)):
        critic = make_game(FeatureCritic(), **effects).networks["discriminator"]
        layer = critic.get_submodule(term(effects["a"])).weigh
        assert parametrize.is_parametrized(layer, "weight") == reached
        assert parametrize.is_parametrized(critic.last, "weight")
        assert critic(numbers(8, 2)).logits.isfinite().all()


@pytest.mark.parametrize(("make", "name"), [(discrimination, "minibatch-discrimination"), (stddev, "minibatch-stddev")])
def test_a_critic_without_features_is_refused(make: Any, name: str) -> None:
    with pytest.raises(GanforgeError, match=f"regularizer '{name}' reads features of the discriminator"):
        make_game(mlp_critic(), trick=make())


@pytest.mark.parametrize("make", [discrimination, stddev])
def test_a_critic_tells_a_collapsed_batch_whose_samples_are_each_as_likely_as_any(make: Any) -> None:
    """Fakes are one point of the data each time: sample by sample they cannot be told from it."""
    losses = {}
    for tricks in ({}, {"trick": make()}):
        game = make_game(FeatureCritic(width=16), **tricks)
        critic, loss = game.networks["discriminator"], NonSaturating(parse(CrossEntropyOptions, {}))
        optimizer = torch.optim.Adam(critic.parameters(), 0.05)
        for i in range(150):
            step = make_step(game)
            step.batch = step.batch._replace(samples=numbers(16, 2, seed=i))
            step.fake = numbers(1, 2, seed=1000 + i).expand(16, 2).clone()
            value = loss.discriminator(step)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        losses[bool(tricks)] = value.item()
    assert losses[False] > 1
    assert losses[True] < 0.4


# The standard deviation.


def test_the_deviation_by_hand() -> None:
    x = torch.zeros(8, 2, 1, 1)
    x[:4, 0, 0, 0] = torch.tensor([1.0, 3.0, 1.0, 3.0])  # σ = 1, and 0 in the other channel
    x[4:, 1, 0, 0] = torch.tensor([0.0, 0.0, 0.0, 4.0])  # σ = √3
    expected = torch.tensor([0.5] * 4 + [3**0.5 / 2] * 4)
    assert torch.allclose(MinibatchStdDev().deviation(x), expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(8, 3, 4, 5), (8, 7)])
def test_one_constant_map_is_appended(shape: tuple[int, ...]) -> None:
    x, layer = numbers(*shape), MinibatchStdDev()
    y = layer(x)
    assert y.shape == (shape[0], shape[1] + 1, *shape[2:])
    assert torch.equal(y[:, :-1], x)
    assert torch.equal(y[:, -1].reshape(8, -1), layer.deviation(x)[:, None].expand(-1, y[0, -1].numel()))


def test_it_is_stylegans_layer_on_rows_in_another_order() -> None:
    """Theirs takes rows N/4 apart for a group; ours neighbours."""
    x = numbers(12, 3, 4, 4)
    y = x.reshape(4, -1, 1, 3, 4, 4)
    y = (y - y.mean(dim=0)).square().mean(dim=0).add(1e-8).sqrt().mean(dim=[2, 3, 4]).reshape(-1, 1).repeat(4, 1)
    order = torch.arange(12).view(4, 3).T.flatten()
    assert torch.allclose(MinibatchStdDev().deviation(x[order]), y[order, 0])


@pytest.mark.parametrize(("n", "size"), [(8, 4), (6, 3), (2, 2), (7, 1), (1, 1)])
def test_a_batch_that_does_not_divide_has_smaller_groups(n: int, size: int) -> None:
    deviation = MinibatchStdDev().deviation(numbers(n, 5))
    assert len(deviation.view(-1, size)[:, 0].unique()) == (n // size if size > 1 else 1)
    assert torch.equal(deviation.view(-1, size).amin(dim=1), deviation.view(-1, size).amax(dim=1))


def test_a_group_of_equals_has_a_finite_gradient() -> None:
    x = torch.ones(4, 3, requires_grad=True)
    MinibatchStdDev()(x).sum().backward()
    assert x.grad.isfinite().all()


# In runs.


@pytest.mark.parametrize("name", ["minibatch-discrimination", "minibatch-stddev"])
@pytest.mark.parametrize(("recipe", "data"), [("dcgan", ("digits", "architecture.width=4")), ("wgan-gp", ("ring",))])
def test_training_resumes_exactly(
    registry: Registry, tmp_path: Path, recipe: str, data: tuple[str, ...], name: str
) -> None:
    run = assert_resumes_exactly(registry, tmp_path, recipe, *data, f"regularizers.{name}=true")
    assert any(key.startswith(name.replace("-", "_")) for key in run.game.networks["discriminator"].state_dict())


WORKER = """
import sys
sys.path.insert(0, {tests!r})
import tiny
from ganforge.core import distributed, train
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN

train(tiny.request(**{changes!r}), {out!r}, registry=Registry(files=[tiny.FILE], fallback=BUILTIN))
distributed.stop()
"""
TRICKS = ("minibatch-discrimination", "minibatch-stddev", "feature-matching", "historical-averaging")


@pytest.mark.slow
@pytest.mark.parametrize("tricks", [TRICKS, ("virtual-batch-norm",)], ids=["coupling", "vbn"])
def test_two_processes_equal_one(tmp_path: Path, tricks: tuple[str, ...]) -> None:
    changes = {"steps": 12, "batch_size": 8, "every": 12, "regularizers": dict.fromkeys(tricks, True)}
    if "virtual-batch-norm" in tricks:
        changes["architecture"] = {"name": "tiny", "norm": True}
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(tests=str(Path(__file__).parent), changes=changes, out=str(tmp_path / "two")))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(torchrun, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    registry = Registry(files=[tiny.FILE], fallback=BUILTIN)
    one = train(tiny.request(**changes), tmp_path / "one", registry=registry)
    two = Run.load(tmp_path / "two", registry=registry)
    np.testing.assert_allclose(one.sample(16, seed=3), two.sample(16, seed=3), atol=1e-5)
    with torch.no_grad():
        x = torch.from_numpy(one.sample(8, seed=4))
        critics = [run.game.networks["discriminator"].eval()(x).logits for run in (one, two)]
    torch.testing.assert_close(*critics, atol=1e-5, rtol=0)
