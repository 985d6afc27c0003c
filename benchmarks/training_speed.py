"""Training speed: our loop beside the textbook loop, same networks, same pictures, alternating in one process.

    python benchmarks/training_speed.py [--width 64] [--batch 64] [--threads 1] [--repeats 7]

The textbook loop has the structure of the PyTorch DCGAN tutorial: a folder of pictures read through a DataLoader
with its transforms (in this process, so that their time counts), one pass over reals and one over fakes with a
backward each, the generator trained on the same fakes through a discriminator whose own gradients are computed
and thrown away, `.item()` for the log in every step. A second textbook row has the pictures in memory as tensors.

Ours shares the fakes between the players as the textbook does (`order=generator-first fakes=shared`); the default,
fresh fakes for each player (Goodfellow et al., Algorithm 1), generates twice and is shown below. Figures are images
per CPU-second; ratios are medians over interleaved repeats, so that a busy machine slows all rows alike. The last
column is the share of the machine's fp32 convolution peak, measured in the same run on the discriminator's second
layer: what the textbook's multiply-adds for that many images would need.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from ganforge.core import ArrayData, DataSpec
from ganforge.core.config import Config
from ganforge.core.data import Data
from ganforge.core.draw import Stream
from ganforge.core.game import Clock, Networks
from ganforge.core.loop import play_round
from ganforge.core.registry import Registry
from ganforge.core.run import build_game
from ganforge.plugins.blocks.torchvision_import import torchvision_datasets
from ganforge.plugins.builtin import BUILTIN

SIDE = 32
BASE = "textbook fp32"


def make_data() -> Data:
    """Smooth random pictures: what they show does not matter to the speed."""
    random = np.random.default_rng(0)
    small = [Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for _ in range(2048)]
    pixels = np.stack([np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for image in small])
    return ArrayData(DataSpec(shape=(3, SIDE, SIDE)), np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def picture_folder(data: Data, folder: Path) -> torch.utils.data.Dataset[Any]:
    """The same pictures as files, read as the tutorial reads them."""
    datasets = torchvision_datasets()
    from torchvision import transforms

    (folder / "all").mkdir()
    for i, image in enumerate(data.fetch(np.arange(len(data)))[0]):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / "all" / f"{i}.png")
    steps = [transforms.Resize(SIDE), transforms.CenterCrop(SIDE), transforms.ToTensor()]
    steps.append(transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
    dataset: torch.utils.data.Dataset[Any] = datasets.ImageFolder(str(folder), transforms.Compose(steps))
    return dataset


def in_memory(data: Data) -> torch.utils.data.Dataset[Any]:
    pixels = torch.from_numpy(data.fetch(np.arange(len(data)))[0])
    return torch.utils.data.TensorDataset(pixels.float() / 127.5 - 1, torch.zeros(len(pixels)))


def textbook(networks: Networks, dataset: torch.utils.data.Dataset[Any], batch: int) -> Callable[[int], None]:
    """The tutorial's loop over `rounds` batches."""
    generator, discriminator = networks.generator, networks.discriminator
    loader = torch.utils.data.DataLoader(dataset, batch, shuffle=True, drop_last=True)
    criterion = nn.BCEWithLogitsLoss()
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    log: list[tuple[float, ...]] = []

    def run(rounds: int) -> None:
        batches = iter(loader)
        for _ in range(rounds):
            real, _ = next(batches)
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
    parser.add_argument("--rounds", type=int, default=25)
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
    del plain  # only its networks, the same as everybody's, are wanted: for the textbook loops
    with tempfile.TemporaryDirectory() as folder:
        rows: dict[str, Callable[[int], None]] = {
            BASE: textbook(networks, picture_folder(data, Path(folder)), arguments.batch),
            "textbook, in memory": textbook(networks, in_memory(data), arguments.batch),
            "ours fp32": ours(registry, data, settings("fp32", "shared"))[0],
            "ours bf16": ours(registry, data, settings("bf16", "shared"))[0],
            "ours fp32, fresh fakes": ours(registry, data, settings("fp32", "fresh"))[0],
            "ours bf16, fresh fakes": ours(registry, data, settings("bf16", "fresh"))[0],
        }
        rates = measure(rows, arguments.rounds, arguments.rounds * arguments.batch, arguments.repeats)
    peak = convolution_peak(arguments.width, arguments.batch, torch.float32)
    work = multiply_adds(networks, arguments.batch)
    threads = f"{arguments.threads} thread{'s' * (arguments.threads > 1)}"
    print(f"torch {torch.__version__}, {threads}, {SIDE}x{SIDE}x3, width {arguments.width}, batch {arguments.batch}\n")
    print("| loop | images per CPU-second | ratio (range) | of fp32 peak |\n|---|---|---|---|")
    for name, values in rates.items():
        ratios = [rate / base for rate, base in zip(values, rates[BASE], strict=True)]
        rate = statistics.median(values)
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        print(f"| {name} | {rate:.0f} | {spread} | {rate * work / peak:.0%} |")


def measure(rows: dict[str, Callable[[int], None]], rounds: int, images: int, repeats: int) -> dict[str, list[float]]:
    """Images per CPU-second of each row, interleaved."""
    for run in rows.values():
        run(3)
    rates: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(repeats):
        for name, run in rows.items():
            rates[name].append(images / cpu_seconds(functools.partial(run, rounds)))
    return rates


if __name__ == "__main__":
    main()
