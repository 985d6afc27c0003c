"""ADA: how p moves, each augmentation against numpy and scipy image by image, gradients to any order."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation
from small_games import assert_resumes_exactly, make_game, mlp_critic
from torch import Tensor
from torch.nn.functional import grid_sample

from ganforge.core import DataSpec, GanforgeError
from ganforge.core.config import resolve
from ganforge.core.draw import Draw
from ganforge.core.game import Clock, LossModule
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.plugins.tricks.ada import AdaOptions, pipeline
from ganforge.plugins.tricks.ada.effect import Ada
from ganforge.plugins.tricks.ada.pipeline import Chance

CLOCK = Clock(0, 10, 0)


def draw(n: int) -> Draw:
    return Draw(0, 0, "discriminator", 0, n, torch.device("cpu"), cast(Any, None), 0)


def always(n: int, p: float = 1.0) -> Chance:
    return Chance(draw(n), torch.tensor(p))


def pictures(n: int = 6, channels: int = 3, height: int = 12, width: int = 12) -> Tensor:
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


# p.


def play(
    effect: Ada,
    signs: list[float],
    *,
    role: str = "discriminator",
    start: int = 0,
    batch: int = 50,
    loss: LossModule | None = None,
    even: float = 0,
) -> list[float]:
    """p after each move; in each, half the logits are ±(1 + sign) so that the mean sign is as given."""
    seen = []
    for move, sign in enumerate(signs):
        logits = torch.where(torch.arange(100) < 50 * (1 + sign), 3.0, -0.1) + even
        step = SimpleNamespace(
            player=SimpleNamespace(role=role),
            duels=[SimpleNamespace(on_real=SimpleNamespace(logits=logits))],
            draw=SimpleNamespace(position=start + move),
            game=SimpleNamespace(config=SimpleNamespace(batch_size=batch), loss=loss or LossModule()),
            mean=lambda tensor: tensor.mean(dim=0),
        )
        effect.after_step(cast(Any, step))
        seen.append(effect.p.item())
    return seen


def test_p_moves_every_fourth_move_by_what_was_seen_since() -> None:
    """0.2 = 4 · 50 / 1000. Mean signs 0.7, then 0.5, then 0.65, around the target of 0.6."""
    effect = Ada(AdaOptions(images=1000))
    signs = [1, 1, 0.4, 0.4, 0.5, 0.5, 0.5, 0.5, 0.8, 0.8, 0.8, 0.2]
    assert play(effect, signs) == pytest.approx([0] * 3 + [0.2] * 4 + [0] * 4 + [0.2])
    assert effect.r.item() == pytest.approx(0.65)
    assert effect.signs.item() == 0


def test_p_never_falls_below_nothing_and_rises_to_one_in_500k_images() -> None:
    effect = Ada(AdaOptions())
    assert max(play(effect, [-1.0] * 8)) == 0
    assert play(effect, [1.0] * 1000, batch=500)[-1] == pytest.approx(1, abs=1e-4)


def test_the_generators_moves_do_not_count() -> None:
    effect = Ada(AdaOptions(images=1000, p=0.5))
    assert set(play(effect, [1.0] * 8, role="generator")) == {0.5}
    assert effect.signs.item() == 0


@pytest.mark.parametrize(("targets", "even"), [({}, 0.5), ({"a": -1.0, "b": 1.0, "c": 0.0}, 0.0)])
def test_what_cannot_be_placed_lies_where_the_loss_reads_it(
    targets: dict[str, float], even: float, registry: Registry
) -> None:
    """A least-squares critic of 0 and 1: only what it says above 0.5 is sure; of -1 and 1, above 0."""
    spec = registry.find("loss", "least-squares")
    effect = Ada(AdaOptions(images=1000, interval=1, p=0.5))
    effect.attach(cast(Any, SimpleNamespace(data=DataSpec(shape=(1, 8, 8)), reading=spec.reading)))
    play(effect, [0.2], loss=spec.build(spec.options(**targets)), even=even)
    assert effect.r.item() == pytest.approx(0.2)
    assert effect.p.item() == pytest.approx(0.45)


# Chance.


def test_each_sample_takes_part_with_probability_p() -> None:
    chance = always(20_000, 0.3)
    rows = chance.maybe("rows", torch.ones(20_000, 2), 0)
    assert torch.equal(rows[:, 0], rows[:, 1])
    assert rows.mean().item() == pytest.approx(0.3, abs=0.02)
    others = chance.maybe("others", torch.ones(20_000), 0)
    assert abs(torch.corrcoef(torch.stack([rows[:, 0], others]))[0, 1]) < 0.03
    assert chance.maybe("rows", torch.ones(20_000, 2), 0, torch.zeros(())).abs().max() == 0


def test_one_of_two_rotations_happens_with_probability_p(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    maybe = Chance.maybe

    def noting(self: Chance, name: str, values: Tensor, neutral: float, p: Tensor | None = None) -> Tensor:
        asked[name] = p
        return maybe(self, name, values, neutral, p)

    monkeypatch.setattr(Chance, "maybe", noting)
    chance = always(4, 0.36)
    pipeline.blit(chance, 8, 8), pipeline.geometry(chance, 8, 8), pipeline.colour(chance, 3)
    rotations = {asked.pop("before"), asked.pop("after")}
    assert [1 - (1 - rotation.item()) ** 2 for rotation in rotations] == pytest.approx([0.36])
    assert set(asked.values()) == {None}
    assert len(asked) == 11
    # Above 1, p counts as 1.
    assert pipeline.geometry(always(4, 1.5), 8, 8).isfinite().all()


def test_at_p_zero_nothing_changes() -> None:
    x = pictures(height=9, width=14)
    assert torch.allclose(Ada(AdaOptions()).view(x, draw(6), CLOCK), x, atol=1e-5)


# What is done to the images.


def test_blitting_is_numpys() -> None:
    n = 64
    chance, x = always(n), pictures(n, height=16, width=16)
    d = chance.draw
    mirrored, turns, shift = d.integers("mirror", 2), d.integers("turns", 4), (2 * d.uniform("shift", 2) - 1) / 8
    assert len({(int(m), int(t)) for m, t in zip(mirrored, turns, strict=True)}) == 8
    seen = pipeline.resample(x, pipeline.blit(chance, 16, 16))
    for i in range(n):
        image = x[i].numpy()[:, :, ::-1] if mirrored[i] else x[i].numpy()
        image = np.rot90(image, int(turns[i]), axes=(1, 2))
        right, down = (int(torch.round(16 * s)) for s in shift[i])
        padded = np.pad(image, ((0, 0), (2, 2), (2, 2)), mode="reflect")
        expected = padded[:, 2 - down : 18 - down, 2 - right : 18 - right]
        np.testing.assert_allclose(seen[i], expected, atol=2e-5)


def forward(d: Draw, i: int, height: int, width: int) -> np.ndarray:
    """Sample i's transform of (right, down, 1) from the centre, composed as the paper lists the operations."""
    size, stretch = (float(torch.exp2(0.2 * d.normal(name))[i]) for name in ("size", "stretch"))
    before, after = (float((2 * d.uniform(name)[i] - 1) * math.pi) for name in ("before", "after"))
    shift = 0.125 * d.normal("fraction", 2)[i]

    def turn(angle: float) -> np.ndarray:
        # Counter-clockwise as one sees it: down is positive.
        return np.array([[math.cos(angle), math.sin(angle), 0], [-math.sin(angle), math.cos(angle), 0], [0, 0, 1]])

    move = np.eye(3)
    move[:2, 2] = float(shift[0]) * width, float(shift[1]) * height
    return move @ turn(after) @ np.diag([stretch, 1 / stretch, 1]) @ turn(before) @ np.diag([size, size, 1])


def test_geometry_is_scipys() -> None:
    n, height, width = 12, 11, 16
    chance, x = always(n), pictures(n, height=height, width=width)
    seen = pipeline.resample(x, pipeline.geometry(chance, height, width)).numpy()
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    for i in range(n):
        inverse = np.linalg.inv(forward(chance.draw, i, height, width))
        matrix, offset = inverse[1::-1, 1::-1], inverse[1::-1, 2]  # scipy's axes are (down, right)
        for channel in range(3):
            expected = affine_transform(
                x[i, channel].numpy(), matrix, offset + centre - matrix @ centre, order=1, mode="mirror"
            )
            np.testing.assert_allclose(seen[i, channel], expected, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_colour_one_operation_after_another(channels: int) -> None:
    n = 32
    chance, x = always(n), pictures(n, channels)
    d = chance.draw
    seen = pipeline.recolour(x, pipeline.colour(chance, channels)).numpy()
    brightness, contrast = 0.2 * d.normal("brightness"), torch.exp2(0.5 * d.normal("contrast"))
    flipped, hue = d.integers("luma", 2), (2 * d.uniform("hue") - 1) * math.pi
    saturation = torch.exp2(d.normal("saturation"))
    for i in range(n):
        image = (x[i].numpy() + brightness[i].item()) * contrast[i].item()
        image = image - 2 * image.mean(0) * flipped[i].item()
        if channels == 3:
            axis = np.full(3, 1 / math.sqrt(3)) * hue[i].item()
            image = np.einsum("ij,jhw->ihw", Rotation.from_rotvec(axis).as_matrix(), image)
            image = image.mean(0) + saturation[i].item() * (image - image.mean(0))
        np.testing.assert_allclose(seen[i], image, atol=1e-4)
    assert set(flipped.tolist()) == {0, 1}


def test_the_view_is_blit_then_geometry_then_colour() -> None:
    x, chance = pictures(), always(6)
    inverse = pipeline.blit(chance, 12, 12) @ pipeline.geometry(chance, 12, 12)
    expected = pipeline.recolour(pipeline.resample(x, inverse), pipeline.colour(chance, 3))
    assert torch.allclose(Ada(AdaOptions(p=1)).view(x, draw(6), CLOCK), expected)
    only = Ada(AdaOptions(p=1, blit=False, colour=False)).view(x, draw(6), CLOCK)
    assert torch.allclose(only, pipeline.resample(x, pipeline.geometry(chance, 12, 12)))
    assert torch.equal(Ada(AdaOptions(p=1, blit=False, geometry=False, colour=False)).view(x, draw(6), CLOCK), x)


@pytest.mark.parametrize("channels", [1, 3])
def test_both_pictures_of_a_pair_have_the_same_colours(channels: int) -> None:
    effect = Ada(AdaOptions(p=1, blit=False, geometry=False))
    effect.channels = channels
    one, two = pictures(channels=channels), pictures(channels=channels).flip(3)
    pair = effect.view(torch.cat([one, two], dim=1), draw(6), CLOCK)
    apart = [effect.view(picture, draw(6), CLOCK) for picture in (one, two)]
    assert torch.allclose(pair, torch.cat(apart, dim=1))


# Gradients.


def test_sampling_has_torchs_gradient_and_one_of_that() -> None:
    x, grid = pictures(2, 3, 5, 6).double().requires_grad_(), torch.rand(2, 5, 6, 2).double() * 3 - 1.5
    weight = torch.rand(2, 3, 5, 6).double()
    ours = torch.autograd.grad((pipeline.Sample.apply(x, grid) * weight).sum(), x)[0]
    theirs = grid_sample(x, grid, "bilinear", "reflection", align_corners=True)
    assert torch.allclose(ours, torch.autograd.grad((theirs * weight).sum(), x)[0])
    assert torch.autograd.gradcheck(lambda x: pipeline.Sample.apply(x, grid), x)
    assert torch.autograd.gradgradcheck(lambda x: pipeline.Sample.apply(x, grid) ** 3, x)


# In a game.


def test_points_are_refused() -> None:
    with pytest.raises(GanforgeError) as error:
        make_game(mlp_critic(), ada=Ada(AdaOptions()))
    assert str(error.value) == (
        "regularizer 'ada' augments grey and colour images, not points with 2 coordinates; leave it out"
    )


@pytest.mark.parametrize("loss", ["wasserstein", "relativistic"])
def test_a_loss_without_a_level_between_real_and_fake_is_refused(registry: Registry, loss: str) -> None:
    config, data = resolve({"recipe": "dcgan", "data": "digits", "loss": loss, "regularizers": {"ada": True}}, registry)
    with pytest.raises(GanforgeError, match=f"'ada'.*'{loss}' sets no level.*diffaugment"):
        build_game(config, data.spec, registry)


@pytest.mark.parametrize("extra", [(), ("regularizers.r1=true", "machine.precision=bf16")])
def test_training_resumes_exactly_and_logs_p(registry: Registry, tmp_path: Path, extra: tuple[str, ...]) -> None:
    """The checkpoint after three rounds lies between two adjustments."""
    chosen = [f"regularizers.ada.{option}" for option in ("p=0.5", "images=64", "interval=2")]
    run = assert_resumes_exactly(registry, tmp_path, "dcgan", "digits", "architecture.width=4", *chosen, *extra)
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    levels = [line["ada/p"] for line in lines]
    assert levels[:2] == [0.5, 0.5]
    assert abs(levels[2] - 0.5) == pytest.approx(16 / 64)
    assert run.game.effects["ada"].p.item() != levels[-1]
    assert run.game.effects["ada"].p.dtype == torch.float32
    assert all(-1 <= line["ada/r"] <= 1 for line in lines)


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


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    import tiny

    from ganforge.core import Run, train
    from ganforge.plugins.builtin import BUILTIN

    tricks = {"ada": {"p": 0.5, "images": 640}, "diffaugment": True}
    changes = {"steps": 12, "batch_size": 8, "every": 12, "regularizers": tricks}
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(tests=str(Path(__file__).parent), changes=changes, out=str(tmp_path / "two")))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(torchrun, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    registry = Registry(files=[tiny.FILE], fallback=BUILTIN)
    one = train(tiny.request(**changes), tmp_path / "one", registry=registry)
    two = Run.load(tmp_path / "two", registry=registry)
    np.testing.assert_allclose(one.sample(16, seed=3), two.sample(16, seed=3), atol=1e-5)
    assert one.game.effects["ada"].p.item() == two.game.effects["ada"].p.item() != 0.5
    assert one.game.effects["ada"].r.item() == pytest.approx(two.game.effects["ada"].r.item())
