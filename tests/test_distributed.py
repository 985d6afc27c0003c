"""Two processes equal one with the doubled batch: outputs, not raw weights (Adam amplifies rounding)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from ganforge.core import train
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN

WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import tiny
from ganforge.core import distributed, train
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN

registry = Registry(files=[tiny.FILE, Path({plugin!r})], fallback=BUILTIN)
train(tiny.request(**{changes!r}), {out!r}, registry=registry)
distributed.stop()
threads = [comm.read_text().strip() for comm in Path("/proc/self/task").glob("*/comm")]
assert not [name for name in threads if "gloo" in name], threads  # they would outlive the interpreter, and abort
"""

# A trick that couples the batch: it must use the global batch's statistics to be the same in two processes.
COUPLED = """
from ganforge.core import Regularizer, hookimpl

def build(options):
    from ganforge.core.game import Effect

    class Coupled(Effect):
        roles = frozenset({"discriminator", "generator"})

        def penalty(self, duel):
            matched = (duel.mean(duel.on_real.features) - duel.mean(duel.on_fake.features)).square().sum()
            rows = duel.gather(duel.on_fake.logits)
            slope = duel.gradient(duel.on_real.logits.sum(), duel.real).flatten(1).square().sum(1).mean()
            return matched + rows.var() + slope

        def view(self, images, draw, clock):
            return images + 0.1 * draw.normal("noise", *images.shape[1:])

    return Coupled()

@hookimpl
def ganforge_regularizers():
    return [Regularizer(name="coupled", summary="", build=build)]
"""


@pytest.mark.parametrize("trick", [False, True], ids=["plain", "coupled"])
def test_two_processes_equal_one(tmp_path: Path, trick: bool) -> None:
    plugin = tmp_path / "coupled.py"
    plugin.write_text(COUPLED)
    changes = {"steps": 12, "batch_size": 8, "every": 12, "data": {"name": "tiny-pictures", "classes": 3}}
    if trick:
        changes["regularizers"] = {"coupled": True}
    script = tmp_path / "worker.py"
    tests = str(Path(__file__).parent)
    script.write_text(WORKER.format(tests=tests, plugin=str(plugin), changes=changes, out=str(tmp_path / "two")))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(torchrun, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]

    registry = Registry(files=[tiny.FILE, plugin], fallback=BUILTIN)
    from ganforge.core import Run

    one = train(tiny.request(**changes), tmp_path / "one", registry=registry)
    two = Run.load(tmp_path / "two", registry=registry)
    np.testing.assert_allclose(one.sample(16, seed=3), two.sample(16, seed=3), atol=1e-5)
    x = one.game.sample(one.game.latent.sample(1, 8))
    import torch

    with torch.no_grad():
        critics = [run.game.networks["discriminator"].eval()(torch.from_numpy(x)).logits for run in (one, two)]
    torch.testing.assert_close(*critics, atol=1e-5, rtol=0)
    assert not np.allclose(
        x, train({**tiny.request(**changes), "seed": 1}, tmp_path / "other", registry=registry).sample(8, 1)
    )
    assert len((tmp_path / "two" / "metrics.jsonl").read_text().splitlines()) == 12


def test_a_batch_that_does_not_divide_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ganforge.core import GanforgeError, distributed

    monkeypatch.setattr(distributed, "world", lambda: 3)
    registry = Registry(files=[tiny.FILE], fallback=BUILTIN)
    with pytest.raises(GanforgeError, match="batch size 4 does not divide among 3 processes"):
        train(tiny.request(), tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()
