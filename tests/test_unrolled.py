"""Unrolled GAN: the look-ahead against formulas, torch's optimizers and finite differences; what it leaves alone."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from small_games import (
    Critic,
    assert_resumes_exactly,
    linear_critic,
    make_game,
    make_step,
    mlp_critic,
    move,
    player,
    points,
    resolved,
)
from torch import Tensor, nn

from ganforge.core import GanforgeError
from ganforge.core.config import Component, PlayerConfig
from ganforge.core.game import AdversarialGame, Duel, Effect, LossModule, Networks, Parts, Step
from ganforge.core.registry import Registry
from ganforge.plugins.papers.sngan import SpectralNormOptions
from ganforge.plugins.papers.sngan.norm import SpectralNormalisation
from ganforge.plugins.papers.unrolled.game import UnrolledGame
from ganforge.plugins.papers.unrolled.optimizers import UPDATES, flat
from ganforge.plugins.papers.vanilla import CrossEntropyOptions
from ganforge.plugins.papers.vanilla.losses import Minimax, NonSaturating
from ganforge.plugins.papers.wgan.losses import Wasserstein

MINIMAX = Minimax(CrossEntropyOptions())


def unrolled(
    critic: nn.Module,
    loss: LossModule = MINIMAX,
    effects: dict[str, Effect] | None = None,
    *,
    game: type[AdversarialGame] = UnrolledGame,
    values: int = 2,
    config: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    """A small game whose generator looks ahead."""
    usual = make_game(critic, values=values)
    recipe = Component(name="unrolled", **{"steps": 3, **options})
    changed = usual.config.model_copy(update={"recipe": recipe, **(config or {})})
    networks = Networks(usual.networks["generator"], usual.networks["discriminator"])
    return game(Parts(changed, usual.data, networks, loss, effects or {}, usual.device))


def state(game: AdversarialGame) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in game.state_dict().items()}


def generator_gradient(game: AdversarialGame, step: Step) -> Tensor:
    """What the generator's move makes of its weights' gradient, as a vector."""
    objective = game.objective(step.player, step.draw, step.clock)
    return flat(torch.autograd.grad(objective.loss, step.player.parameters))


# The look-ahead in closed form.


class Spring(Effect):
    """c/2 D(1)², which pulls a linear critic's slope to 0."""

    roles = frozenset({"discriminator"})

    def __init__(self, stiffness: float) -> None:
        super().__init__()
        self.stiffness = stiffness

    def penalty(self, duel: Duel) -> Tensor:
        return self.stiffness / 2 * duel.critique(torch.ones(1, 1)).logits.square().mean()


@pytest.mark.parametrize("steps", [0, 1, 2, 7])
@pytest.mark.parametrize("through", [True, False])
@pytest.mark.parametrize("objective", ["saddle", "loss"])
def test_a_linear_critic_on_a_spring_is_looked_ahead_as_the_formula_says(
    steps: int, through: bool, objective: str
) -> None:
    """D(x) = wx minimises w(g - r) + c w²/2 by gradient descent, with g and r the means of fakes and reals:

    w_K = q w - (1 - q)(g - r) / c with q = (1 - ηc)^K. G minimises -w_K (g - r), or with its own loss -w_K g.
    """
    rate, stiffness, w = 0.2, 1.5, 0.7
    sgd = {"discriminator": PlayerConfig(optimizer="sgd", lr=rate)}
    game = unrolled(
        linear_critic([w]), Wasserstein(), {"spring": Spring(stiffness)},
        values=1, config=sgd, steps=steps, through=through, objective=objective,
    )  # fmt: skip
    step = make_step(game, "generator")
    g, r = step.fake.mean().item(), step.real.mean().item()
    q = (1 - rate * stiffness) ** steps
    ahead, slope = q * w - (1 - q) * (g - r) / stiffness, -(1 - q) / stiffness
    expected = -ahead - (slope * (g - r if objective == "saddle" else g) if through else 0)
    gradient = generator_gradient(game, step)
    assert gradient[-1].item() == pytest.approx(expected, rel=1e-4)
    assert torch.allclose(gradient[:-1], expected * step.latent.mean(dim=0), rtol=1e-4)


# The steps are those of torch's optimizers.

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": "adam", "lr": 0.01, "betas": (0.5, 0.9)},
    "adam with decay": {"optimizer": "adam", "lr": 0.01, "betas": (0.5, 0.9), "weight_decay": 0.1},
    "sgd": {"optimizer": "sgd", "lr": 0.1},
    "momentum": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
}


@pytest.mark.parametrize("settings", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("moved", [0, 2])
def test_weights_ahead_are_where_torchs_optimizer_would_have_gone(settings: dict[str, Any], moved: int) -> None:
    game = unrolled(mlp_critic(), config={"discriminator": PlayerConfig(**settings)}, steps=4)
    for round_ in range(moved):
        move(game, "discriminator", round=round_)
    step = make_step(game, "generator", round=moved)
    ahead = game.look_ahead(step)["discriminator"]
    # The same by the real thing: the game itself, on the step's samples.
    opponent = player(game, "discriminator")
    for _ in range(4):
        duel = make_step(game, "discriminator")
        duel.batch, duel.fake = step.batch, step.fake.detach()
        opponent.optimizer.zero_grad()
        game.loss.discriminator(duel).backward(inputs=opponent.parameters)
        opponent.optimizer.step()
    for name, parameter in game.networks["discriminator"].named_parameters():
        assert torch.allclose(ahead[name], parameter, atol=1e-6), name


@pytest.mark.parametrize("settings", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_weight_without_a_gradient_is_no_trap(settings: dict[str, Any]) -> None:
    """Adam divides by a root that is 0 for the weights of a dead unit; its slope there is infinite."""
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    config = PlayerConfig(**settings)
    optimizer = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[config.optimizer]([weight], config.lr)
    gradient = torch.tensor([0.0, 1e-3], requires_grad=True)
    after = UPDATES[config.optimizer](optimizer, [weight])(flat([weight]), gradient)
    (slope,) = torch.autograd.grad(after.sum(), gradient)
    assert torch.isfinite(slope).all()


# The generator's gradient.


@pytest.mark.parametrize("settings", [OPTIMIZERS["adam"], OPTIMIZERS["momentum"]])
def test_the_gradient_is_the_finite_difference_through_torchs_own_optimizer(settings: dict[str, Any]) -> None:
    """-f(θ_G, θ_D^K(θ_G)) in float64, with θ_D^K by a copy of torch's optimizer, at both sides of θ_G."""
    game = unrolled(mlp_critic(), config={"discriminator": PlayerConfig(**settings)}, steps=3)
    move(game, "discriminator")
    step = make_step(game, "generator", round=1)
    gradient = generator_gradient(game, step)
    opponent, generator = player(game, "discriminator"), copy.deepcopy(game.networks["generator"]).double()
    moments = opponent.optimizer.state_dict()

    def value(at: Tensor) -> float:
        nn.utils.vector_to_parameters(at, generator.parameters())
        critic = copy.deepcopy(game.networks["discriminator"]).double()
        optimizer = type(opponent.optimizer)(critic.parameters())
        optimizer.load_state_dict(copy.deepcopy(moments))
        fake, real = generator(step.latent.double()).images.detach(), step.real.detach().double()
        for _ in range(4):
            loss = (nn.functional.softplus(-critic(real).logits) + nn.functional.softplus(critic(fake).logits)).mean()
            optimizer.zero_grad()
            loss.backward()
            value = -loss.item()
            optimizer.step()
        return value

    weights = flat(generator.parameters())
    nudges = 1e-5 * torch.eye(len(weights), dtype=torch.float64)
    differences = [(value(weights + nudge) - value(weights - nudge)) / 2e-5 for nudge in nudges]
    assert gradient.tolist() == pytest.approx(differences, rel=1e-3, abs=1e-5)
    stopped = unrolled(mlp_critic(), config={"discriminator": PlayerConfig(**settings)}, steps=3, through=False)
    move(stopped, "discriminator")
    plain = generator_gradient(stopped, make_step(stopped, "generator", round=1))
    assert (plain - gradient).abs().max() > 1e-3


def test_without_the_second_order_it_is_the_gradient_at_the_discriminator_ahead() -> None:
    game = unrolled(mlp_critic(), NonSaturating(CrossEntropyOptions()), through=False, objective="loss")
    step = make_step(game, "generator")
    ahead = {name: weight.detach() for name, weight in game.look_ahead(step)["discriminator"].items()}
    logits = torch.func.functional_call(game.networks["discriminator"], ahead, step.fake).logits
    expected = torch.autograd.grad(nn.functional.softplus(-logits).mean(), step.player.parameters)
    assert torch.equal(generator_gradient(game, make_step(game, "generator")), flat(expected))


def test_without_steps_it_is_the_plain_game_to_the_last_bit() -> None:
    games = [
        unrolled(mlp_critic(), game=game, steps=0, objective=objective)
        for game, objective in [(AdversarialGame, "loss"), (UnrolledGame, "loss"), (UnrolledGame, "saddle")]
    ]
    for game in games:
        for round_ in range(4):
            for role in ("discriminator", "generator"):
                move(game, role, round=round_)
    plain, *others = [game.state_dict() for game in games]
    for other in others:
        assert plain.keys() == other.keys()
        assert all(torch.equal(plain[name], other[name]) for name in plain)


def normed_critic() -> Critic:
    body = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    return Critic(lambda critic, x: critic.body(x).flatten(), body=body)


@pytest.mark.parametrize("through", [True, False])
def test_a_generators_move_leaves_nothing_of_the_discriminator_changed(through: bool) -> None:
    norm = SpectralNormalisation(SpectralNormOptions())
    game = unrolled(normed_critic(), effects={"spectral-norm": norm}, through=through)
    move(game, "discriminator")
    moments = copy.deepcopy(player(game, "discriminator").optimizer.state_dict())
    before = state(game)
    move(game, "generator")
    after = state(game)
    assert {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])} == {"generator"}
    unchanged = player(game, "discriminator").optimizer.state_dict()["state"]
    for place, values in moments["state"].items():
        assert all(torch.equal(torch.as_tensor(value), unchanged[place][key]) for key, value in values.items())


def test_labels_reach_the_discriminator_ahead() -> None:
    seen: list[Any] = []

    class Labelled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.critic = mlp_critic()

        def forward(self, x: Tensor, labels: Tensor | None = None) -> Any:
            seen.append(labels)
            return self.critic(x)

    game = unrolled(Labelled(), steps=1)
    game.data = game.data.model_copy(update={"classes": ("a", "b")})
    step = make_step(game, "generator", reals=points(6))
    step.batch = step.batch._replace(labels=torch.zeros(6, dtype=torch.int64))
    game.look_ahead(step)
    assert torch.equal(seen[0], step.real_labels)
    assert torch.equal(seen[1], step.labels)


# The recipe.


@pytest.mark.parametrize(("data", "loss"), [("ring", "minimax"), ("digits", "non-saturating")])
def test_the_recipe_unrolls_adam(registry: Registry, data: str, loss: str) -> None:
    config = resolved(registry, "unrolled", data)
    assert config.recipe.values == {"steps": 5, "through": True, "objective": "auto"}
    assert config.loss.name == loss
    for side in (config.generator, config.discriminator):
        assert (side.optimizer, side.betas[0], side.moves) == ("adam", 0.5, 1)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        (
            "discriminator.optimizer=rmsprop",
            "option 'discriminator.optimizer': recipe 'unrolled' can look ahead along adam and sgd, not rmsprop",
        ),
        ("fakes=shared", "option 'fakes': recipe 'unrolled' judges a generator's fakes by a discriminator"),
        ("machine.compile=true", "--compile: compiled networks cannot be differentiated twice, as 'unrolled' does"),
    ],
)
def test_what_it_cannot_do_is_said_before_anything_is_written(
    registry: Registry, tmp_path: Path, setting: str, sentence: str
) -> None:
    with pytest.raises(GanforgeError) as error:
        assert_resumes_exactly(registry, tmp_path, "unrolled", "ring", setting)
    assert str(error.value).startswith(sentence)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        ("ring", ()),
        ("ring", ("recipe.steps=0",)),
        ("ring", ("recipe.objective=loss", "loss=hinge", "regularizers.gradient-penalty=true")),
        ("digits", ("architecture.width=4", "recipe.steps=2")),
    ],
)
def test_training_resumes_exactly(registry: Registry, tmp_path: Path, data: str, settings: tuple[str, ...]) -> None:
    run = assert_resumes_exactly(registry, tmp_path, "unrolled", data, *settings)
    assert isinstance(run.game, UnrolledGame)
    assert run.game.saddle == (settings == ())
