"""One seed, one picture: latents are a pure function of (seed, index), whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from ganforge.core import DataSpec, GanforgeError, Latent
from ganforge.core.draw import Draw
from ganforge.core.latents import Generator, normals, picture_seeds, uniforms
from ganforge.core.options import parse

PINNED_SEEDS = [5880664375189431153, 2987693848754296495, 8581819757696313335]
PINNED_LATENT = [0.6755665, 0.618957, 0.3337315, 0.4794676]


@pytest.mark.parametrize("name", ["normal", "uniform", "truncated-normal"])
def test_any_split_into_batches_gives_the_same_latents(name: str) -> None:
    latent = Latent(name=name, dim=7, categorical=(3, 2), continuous=2)
    whole = latent.sample(5, 50)
    parts = np.concatenate([latent.sample(5, 13), latent.sample(5, 37, start=13)])
    assert whole.dtype == np.float32
    assert whole.shape == (50, 14)
    np.testing.assert_array_equal(whole, parts)
    assert not np.array_equal(whole, latent.sample(6, 50))


def test_a_generator_draws_what_its_samples_are_made_of() -> None:
    latent, data = Latent(dim=3), DataSpec(shape=(1, 2, 2), classes=("a", "b", "c"))
    generator = Generator(latent, data, True, lambda latents, labels: latents, truncation=0.5)
    latents, labels = generator.draw(7, 4, start=2)
    np.testing.assert_array_equal(latents, latent.sample(7, 4, start=2, truncation=0.5))
    assert labels is not None
    assert labels.tolist() == [2, 0, 1, 2]
    assert generator._replace(labelled=False).draw(7, 4)[1] is None


def test_pinned_values_so_that_files_sampled_today_look_the_same_tomorrow() -> None:
    assert picture_seeds(1, 3).tolist() == PINNED_SEEDS
    np.testing.assert_allclose(Latent(dim=4).sample(1, 1)[0], PINNED_LATENT, atol=1e-6)


def test_distributions_are_what_they_say() -> None:
    seeds = picture_seeds(3, 4000)
    assert stats.kstest(uniforms(seeds, 25).ravel(), "uniform").pvalue > 0.01
    z = normals(seeds, 25)
    assert stats.kstest(z.ravel(), "norm").pvalue > 0.01
    assert np.abs(np.corrcoef(z.T) - np.eye(25)).max() < 0.08
    bounded = Latent(name="truncated-normal", dim=25, truncation=1.0).sample(3, 4000)
    assert stats.kstest(bounded.ravel(), stats.truncnorm(-1, 1).cdf).pvalue > 0.01
    assert np.abs(Latent(dim=10).sample(0, 500, truncation=0.5)).max() <= 0.5


def test_truncation_leaves_what_was_inside_untouched() -> None:
    free, bounded = Latent(dim=20).sample(1, 100), Latent(dim=20).sample(1, 100, truncation=1.0)
    inside = np.abs(free) <= 1
    np.testing.assert_array_equal(free[inside], bounded[inside])


def test_codes_are_one_hot_and_bounded_and_move_no_z() -> None:
    latent = Latent(dim=4, categorical=(10,), continuous=2)
    drawn = latent.sample(0, 5000)
    one_hot, continuous = drawn[:, 4:14], drawn[:, 14:]
    assert set(np.unique(one_hot)) == {0, 1}
    np.testing.assert_array_equal(one_hot.sum(1), 1)
    assert stats.chisquare(one_hot.sum(0)).pvalue > 0.01
    assert np.abs(continuous).max() <= 1
    np.testing.assert_array_equal(drawn[:, :4], Latent(dim=4).sample(0, 5000))


@pytest.mark.parametrize("seed", [0, 1, -1, 2**31, 2**62, 2**63 - 1])
def test_any_int64_is_a_seed(seed: int) -> None:
    z = Latent(dim=3).sample(seed, 2)
    assert np.isfinite(z).all()


def test_the_hash_is_the_same_in_torch() -> None:
    """The exported graph will hash seeds with torch's integer operators: they must agree bit for bit."""

    def mix(x: torch.Tensor) -> torch.Tensor:
        x = x & 0xFFFFFFFF
        x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
        x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
        return x ^ (x >> 16)

    seeds = picture_seeds(11, 64)
    s = torch.from_numpy(seeds)
    low, high = s & 0xFFFFFFFF, (s >> 32) & 0xFFFFFFFF
    one, two = mix(low ^ mix(high ^ 0x9E3779B9))[:, None], mix(high ^ mix(low ^ 0x85EBCA6B))[:, None]
    words = mix(mix(mix(one) ^ torch.arange(9)[None]) + two)
    np.testing.assert_array_equal((words.double() / 2.0**32).numpy(), uniforms(seeds, 9))


def test_no_two_pictures_of_a_large_sample_share_a_latent() -> None:
    first = uniforms(picture_seeds(1, 300_000), 3)
    assert len(np.unique(first, axis=0)) == 300_000


def test_bad_latents_are_named() -> None:
    with pytest.raises(GanforgeError, match=r"option 'latent.dim': input should be greater than or equal to 1, not 0"):
        parse(Latent, {"dim": 0}, "latent")


def test_a_sphere_has_radius_root_dim_and_every_direction() -> None:
    z = Latent(name="sphere", dim=16).sample(5, 4000)
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 4, rtol=1e-6)
    assert np.abs(z.mean(axis=0)).max() < 0.06
    assert np.abs(np.cov(z.T) - np.eye(16)).max() < 0.1
    with pytest.raises(GanforgeError, match="no tails to truncate"):
        Latent(name="sphere", dim=16).sample(5, 4, truncation=1.0)


def test_training_draws_the_same_sphere() -> None:
    draw = Draw(0, 0, "generator", 0, 500, torch.device("cpu"), None, 0)  # type: ignore[arg-type]
    z = draw.latent(Latent(name="sphere", dim=9))
    torch.testing.assert_close(z.norm(dim=1), torch.full((500,), 3.0))
    assert z.mean(dim=0).abs().max() < 0.2


def test_a_categorical_sweep_changes_nothing_but_the_code() -> None:
    latent = Latent(dim=3, categorical=(2, 4), continuous=2)
    swept = latent.sweep(1, 7, 5)
    assert swept.shape == (4, 5, latent.width)
    assert swept.dtype == np.float32
    assert np.array_equal(swept[:, :, 5:9].argmax(axis=2), np.arange(4)[:, None].repeat(5, axis=1))
    others = np.delete(swept, range(5, 9), axis=2)
    assert np.array_equal(others, np.broadcast_to(np.delete(latent.sample(7, 5), range(5, 9), axis=1), others.shape))


def test_a_continuous_sweep_goes_along_the_rows_one_for_each_category() -> None:
    latent = Latent(dim=3, categorical=(4,), continuous=2)
    swept = latent.sweep(2, 7, 5)
    assert swept.shape == (4, 5, latent.width)
    assert np.array_equal(swept[:, :, -1], np.broadcast_to([-2, -1, 0, 1, 2], (4, 5)))
    assert np.array_equal(swept[:, 0, 3:7], np.eye(4))
    kept = np.delete(swept, [3, 4, 5, 6, 8], axis=2)
    assert np.array_equal(kept, kept[:, :1].repeat(5, axis=1))
    assert not np.array_equal(kept[0], kept[1])
    assert Latent(dim=3, continuous=1).sweep(0, 0, 6).shape == (8, 6, 4)
