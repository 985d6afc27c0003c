"""Training speed: our loop beside the textbook loop, same networks, same data, alternating in one process.

    python benchmarks/training_speed.py [--width 64] [--batch 64] [--threads 1] [--repeats 7]

The textbook loop has the structure of the PyTorch DCGAN tutorial: a DataLoader, one pass over reals and one over
fakes with a backward each, the generator trained on the same fakes through a discriminator whose own gradients
are computed and thrown away, `.item()` for the log in every step. Ours runs the same algorithm (`fakes=shared`);
its default, fresh fakes for each player, is shown too. Figures are images per CPU-second; ratios are medians over
interleaved repeats, so that a busy machine slows both sides alike. The last column is the share of the machine's
fp32 convolution peak, measured in the same run on the discriminator's second layer.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ganforge.core import ArrayData, DataSpec
from ganforge.core.config import Config
from ganforge.core.data import Data
from ganforge.core.draw import Stream
from ganforge.core.game import Clock, Networks
from ganforge.core.loop import play_round
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.plugins.builtin import BUILTIN
from torch import nn

SIDE = 32


def make_data() -> Data:
    """Random pictures: what they show does not matter to the speed."""
    pixels = np.random.default_rng(0).integers(0, 256, (4096, 3, SIDE, SIDE), dtype=np.uint8)
    return ArrayData(DataSpec(shape=(3, SIDE, SIDE)), pixels)


def textbook(networks: Networks, data: Data, batch: int) -> Callable[[int], None]:
    """The tutorial's loop over `rounds` batches."""
    generator, discriminator = networks.generator, networks.discriminator
    pixels = torch.from_numpy(data.fetch(np.arange(len(data)))[0])
    dataset = torch.utils.data.TensorDataset(pixels.float() / 127.5 - 1)
    loader = torch.utils.data.DataLoader(dataset, batch, shuffle=True, drop_last=True)
    criterion = nn.BCEWithLogitsLoss()
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    log: list[tuple[float, ...]] = []

    def run(rounds: int) -> None:
        batches = iter(loader)
        for _ in range(rounds):
            (real,) = next(batches)
            discriminator.zero_grad()
            label = torch.full((batch,), 1.0)
            output = discriminator(real).logits
            error_real = criterion(output, label)
            error_real.backward()
            d_x = output.mean().item()
            fake = generator(torch.randn(batch, 100)).images
            label.fill_(0.0)
            output = discriminator(fake.detach()).logits
            error_fake = criterion(output, label)
            error_fake.backward()
            d_g = output.mean().item()
            optimizer_d.step()
            generator.zero_grad()
            label.fill_(1.0)
            output = discriminator(fake).logits
            error_g = criterion(output, label)
            error_g.backward()
            log.append((d_x, d_g, output.mean().item(), (error_real + error_fake).item(), error_g.item()))
            optimizer_g.step()

    return run


def ours(registry: Registry, data: Data, settings: dict[str, Any]) -> tuple[Callable[[int], None], Networks]:
    """Our loop over `rounds` rounds, and its networks."""
    config = Config.model_validate(settings)
    game = build_game(config, data.spec, registry)
    stream = Stream(data, 0, channels_last=config.machine.channels_last)
    done = 0

    def run(rounds: int) -> None:
        nonlocal done
        for round_ in range(done, done + rounds):
            play_round(game, stream, Clock(round_, 10**6, 0))
        done += rounds

    return run, Networks(game.networks["generator"], game.networks["discriminator"])


def convolution_peak(width: int, batch: int, dtype: torch.dtype) -> float:
    """Multiply-adds per CPU-second of the discriminator's second layer, forward, channels-last."""
    layer = nn.Conv2d(width, 2 * width, 4, 2, 1).to(dtype, memory_format=torch.channels_last)
    x = torch.randn(batch, width, SIDE // 2, SIDE // 2, dtype=dtype).contiguous(memory_format=torch.channels_last)
    work = batch * (SIDE // 4) ** 2 * 16 * width * 2 * width
    with torch.no_grad():
        return work / min(cpu_seconds(lambda: layer(x)) for _ in range(30))


def cpu_seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def multiply_adds(networks: Networks, batch: int) -> float:
    """Multiply-adds a textbook round needs per image: 3 G passes (forward, two backward) and 9 D passes less one."""
    counts = {"G": 0.0, "D": 0.0}

    def hook(key: str) -> Callable[..., None]:
        def count(module: Any, inputs: Any, output: Any) -> None:
            spatial = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output
            positions = spatial[0, 0].numel() if spatial.dim() == 4 else 1
            counts[key] += module.weight.numel() * positions

        return count

    handles = []
    for key, network in (("G", networks.generator), ("D", networks.discriminator)):
        layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
        handles += [layer.register_forward_hook(hook(key)) for layer in layers]
    with torch.no_grad():
        networks.discriminator(networks.generator(torch.randn(batch, 100)).images)
    for handle in handles:
        handle.remove()
    return 3 * counts["G"] + 8 * counts["D"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=6)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    registry, data = Registry(fallback=BUILTIN), make_data()

    def settings(precision: str, fakes: str, **machine: Any) -> dict[str, Any]:
        return {
            "recipe": {"name": "dcgan"},
            "data": {"name": "digits"},
            "architecture": {"name": "dcgan", "width": arguments.width},
            "loss": {"name": "non-saturating"},
            "latent": {"dim": 100},
            "batch_size": arguments.batch,
            "fakes": fakes,
            "order": "generator-first" if fakes == "shared" else "discriminator-first",
            "machine": {"device": "cpu", "precision": precision, **machine},
        }

    plain, networks = ours(registry, data, settings("fp32", "shared", channels_last=False))
    rows: dict[str, Callable[[int], None]] = {
        "textbook fp32": textbook(networks, data, arguments.batch),
        "ours fp32": ours(registry, data, settings("fp32", "shared"))[0],
        "ours bf16": ours(registry, data, settings("bf16", "shared"))[0],
        "ours fp32, fresh fakes": ours(registry, data, settings("fp32", "fresh"))[0],
        "ours bf16, fresh fakes": ours(registry, data, settings("bf16", "fresh"))[0],
    }
    images = arguments.rounds * arguments.batch
    rates: dict[str, list[float]] = {name: [] for name in rows}
    for run in rows.values():
        run(2)
    for _ in range(arguments.repeats):
        for name, run in rows.items():
            rates[name].append(images / cpu_seconds(lambda run=run: run(arguments.rounds)))  # type: ignore[misc]
    peak = convolution_peak(arguments.width, arguments.batch, torch.float32)
    work = multiply_adds(networks, arguments.batch)
    print(f"torch {torch.__version__}, {arguments.threads} thread(s), {SIDE}x{SIDE}x3, width {arguments.width}, batch {arguments.batch}")
    print(f"{'loop':24} {'images/CPU-s':>12} {'ratio':>6} {'min':>6} {'max':>6} {'of fp32 peak':>13}")
    for name, values in rates.items():
        ratios = [ours_rate / base for ours_rate, base in zip(values, rates["textbook fp32"], strict=True)]
        rate = statistics.median(values)
        print(
            f"{name:24} {rate:12.0f} {statistics.median(ratios):6.2f} {min(ratios):6.2f} {max(ratios):6.2f}"
            f" {rate * work / peak:13.0%}"
        )


if __name__ == "__main__":
    main()
