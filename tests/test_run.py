"""A run survives whatever stops it, and what it writes is whole."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file

from ganforge.core import GanforgeError, Run, RunObserver, checkpoint, resume, train
from ganforge.core.errors import Interrupted, TrainingFailed
from ganforge.core.files import locked
from ganforge.core.registry import Registry
from ganforge.core.timing import Time
from ganforge.plugins.builtin import BUILTIN


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(files=[tiny.FILE], fallback=BUILTIN)


def rounds_logged(run: Path) -> list[int]:
    return [json.loads(line)["round"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_directory_holds_what_it_should(registry: Registry, tmp_path: Path) -> None:
    run = train(tiny.request(steps=6, keep=2), tmp_path / "run", registry=registry)
    assert [path.name for path in run.checkpoints] == ["step-000004", "step-000006"]
    assert sorted(p.name for p in (tmp_path / "run/samples").iterdir()) == [f"{i:06d}.png" for i in (0, 2, 4, 6)]
    assert rounds_logged(tmp_path / "run") == [1, 2, 3, 4, 5, 6]
    record = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert record["images"] == 24
    assert record["epoch"] == 1.0
    assert {"loss/discriminator", "loss/generator", "gradient_norm/generator", "d_real", "d_fake"} <= record.keys()
    assert not list(tmp_path.rglob(".tmp*"))


def test_records_say_what_their_rounds_took(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(Time, "now", lambda: Time(float(tick := next(ticks)), 2.0 * tick))
    train(tiny.request(steps=3, every=2), tmp_path / "run", registry=registry)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    told = [[json.loads(line)[name] for name in ("seconds", "cpu_seconds", "images_per_second")] for line in lines]
    assert told == [[1, 2, 4]] * 3  # the checkpoint after round 2 is in none of them


def test_checkpoints_hold_no_pickle(registry: Registry, tmp_path: Path) -> None:
    run = train(tiny.request(), tmp_path / "run", registry=registry)
    assert {p.suffix for p in run.checkpoints[-1].iterdir()} == {".safetensors", ".json"}
    saved = load_file(run.checkpoints[-1] / "networks.safetensors")
    assert saved.keys() == run.game.state_dict().keys()


def test_a_run_loads_and_samples_as_it_was(registry: Registry, tmp_path: Path) -> None:
    run = train(tiny.request(), tmp_path / "run", registry=registry)
    loaded = Run.load(tmp_path / "run", registry=registry)
    np.testing.assert_array_equal(run.sample(5, seed=2), loaded.sample(5, seed=2))
    np.testing.assert_allclose(run.sample(5, seed=2)[3:], loaded.sample(2, seed=2, start=3), atol=1e-6)
    assert loaded.round == 4
    assert loaded.config == run.config


class KillAt(RunObserver):
    """Dies like a process does: with no chance to tidy up."""

    def __init__(self, round_: int) -> None:
        self.round = round_

    def step_logged(self, record: Any) -> None:
        if record["round"] == self.round:
            raise RuntimeError("killed")


@pytest.mark.parametrize("killed_at", [1, 2, 3, 5, 6, 7])
def test_a_death_in_any_round_costs_nothing(registry: Registry, tmp_path: Path, killed_at: int) -> None:
    wanted = tiny.request(steps=8, every=3)
    whole = train(wanted, tmp_path / "whole", registry=registry)
    with pytest.raises(RuntimeError, match="killed"):
        train(wanted, tmp_path / "run", registry=registry, observers=[KillAt(killed_at)])
    (tmp_path / "run" / "metrics.jsonl").open("a").write('{"round": 7, "ima')
    resumed = resume(tmp_path / "run", registry=registry)
    for name, tensor in whole.game.state_dict().items():
        assert torch.equal(tensor, resumed.game.state_dict()[name]), name
    np.testing.assert_array_equal(whole.sample(4), resumed.sample(4))
    assert rounds_logged(tmp_path / "run") == list(range(1, 9))


WORKER = """
import sys
sys.path.insert(0, {tests!r})
import tiny
from ganforge.core import resume, train
from ganforge.core.registry import Registry
from ganforge.core.timing import Time
from ganforge.plugins.builtin import BUILTIN
registry = Registry(files=[tiny.FILE], fallback=BUILTIN)
train(tiny.request(steps=4000, every=7, log_every=7), {out!r}, registry=registry)
"""


def test_kill_9_while_it_writes_leaves_a_run_to_resume(registry: Registry, tmp_path: Path) -> None:
    """Checkpoints every 7 short rounds: the kill lands in or near a write more often than not."""
    out = tmp_path / "run"
    script = WORKER.format(tests=str(Path(__file__).parent), out=str(out))
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 120
    while not checkpoint.available(out / "checkpoints") and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.35)
    process.send_signal(signal.SIGKILL)
    process.wait()
    reached = int(checkpoint.available(out / "checkpoints")[-1].name.removeprefix("step-"))
    steps = reached + 20
    resumed = resume(out, steps=steps, registry=registry)
    whole = train(tiny.request(steps=steps, every=steps, log_every=7), tmp_path / "whole", registry=registry)
    for name, tensor in whole.game.state_dict().items():
        assert torch.equal(tensor, resumed.game.state_dict()[name]), name
    assert not list((out / "checkpoints").glob(".tmp*"))


def test_before_the_first_checkpoint_it_starts_again(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="killed"):
        train(tiny.request(every=4), tmp_path / "run", registry=registry, observers=[KillAt(2)])
    assert not Run.load(tmp_path / "run", registry=registry).checkpoints
    with pytest.raises(GanforgeError, match="has no checkpoint yet"):
        Run.load(tmp_path / "run", registry=registry).sample(1)
    assert resume(tmp_path / "run", registry=registry).round == 4


def test_a_finished_run_is_left_alone(registry: Registry, tmp_path: Path) -> None:
    train(tiny.request(), tmp_path / "run", registry=registry)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert resume(tmp_path / "run", registry=registry).round == 4
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*") if p.is_file()}


class Interrupt(RunObserver):
    def step_logged(self, record: Any) -> None:
        if record["round"] == 3:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_saves_and_says_how_to_go_on(registry: Registry, tmp_path: Path) -> None:
    wanted = tiny.request(steps=8, every=8)
    with pytest.raises(Interrupted, match=r"stopped after round 3; go on with: ganforge resume .*run") as error:
        train(wanted, tmp_path / "run", registry=registry, observers=[Interrupt()])
    assert error.value.exit_code == 130
    assert [p.name for p in checkpoint.available(tmp_path / "run/checkpoints")] == ["step-000003"]
    whole = train(wanted, tmp_path / "whole", registry=registry)
    resumed = resume(tmp_path / "run", registry=registry)
    for name, tensor in whole.game.state_dict().items():
        assert torch.equal(tensor, resumed.game.state_dict()[name]), name


def test_the_thread_count_is_recorded_and_restored(registry: Registry, tmp_path: Path) -> None:
    run = train(tiny.request(machine={"device": "cpu", "threads": 1}), tmp_path / "run", registry=registry)
    position = json.loads((run.checkpoints[-1] / "position.json").read_text())
    assert position["threads"] == run.config.machine.threads == 1
    torch.set_num_threads(2)
    try:
        resume(tmp_path / "run", steps=6, registry=registry)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(1)


def test_non_finite_values_stop_the_run_and_name_the_last_good_checkpoint(registry: Registry, tmp_path: Path) -> None:
    far_too_fast = {"lr": 1e38, "optimizer": "sgd"}
    wanted = tiny.request(steps=40, every=2, generator=far_too_fast, discriminator=far_too_fast)
    with pytest.raises(TrainingFailed, match="training stopped in round") as error:
        train(wanted, tmp_path / "run", registry=registry)
    assert error.value.exit_code == 1
    for path in checkpoint.available(tmp_path / "run/checkpoints"):
        assert all(torch.isfinite(t).all() for t in load_file(path / "networks.safetensors").values())


@pytest.mark.parametrize("file", ["networks.safetensors", "optimizers.safetensors", "position.json"])
def test_a_truncated_checkpoint_is_one_sentence(registry: Registry, tmp_path: Path, file: str) -> None:
    run = train(tiny.request(), tmp_path / "run", registry=registry)
    broken = run.checkpoints[-1] / file
    broken.write_bytes(broken.read_bytes()[:20])
    with pytest.raises(GanforgeError, match=r"checkpoint .*step-000004 is damaged .*delete that folder"):
        resume(tmp_path / "run", steps=6, registry=registry)
    shutil.rmtree(run.checkpoints[-1])
    assert resume(tmp_path / "run", steps=6, registry=registry).round == 6


def test_a_foreign_checkpoint_is_one_sentence(registry: Registry, tmp_path: Path) -> None:
    run = train(tiny.request(), tmp_path / "run", registry=registry)
    other = train(tiny.request(latent={"dim": 5}), tmp_path / "other", registry=registry)
    shutil.rmtree(run.checkpoints[-1])
    shutil.copytree(other.checkpoints[-1], tmp_path / "run/checkpoints/step-000004")
    with pytest.raises(GanforgeError, match=r"does not fit the run's config: .*size mismatch"):
        resume(tmp_path / "run", steps=6, registry=registry)


def test_a_run_of_a_plugin_that_is_gone_names_it(registry: Registry, tmp_path: Path) -> None:
    train(tiny.request(), tmp_path / "run", registry=registry)
    with pytest.raises(GanforgeError, match=r"needs the recipe 'tiny' of .*tiny.py, load it with --plugin .*tiny.py"):
        Run.load(tmp_path / "run", registry=Registry(fallback=BUILTIN))


def test_an_existing_run_is_not_overwritten(registry: Registry, tmp_path: Path) -> None:
    train(tiny.request(), tmp_path / "run", registry=registry)
    with pytest.raises(GanforgeError, match="exists already: go on with `ganforge resume"):
        train(tiny.request(), tmp_path / "run", registry=registry)


def test_nothing_is_written_when_the_input_is_bad(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(GanforgeError, match="cannot build 24×24"):
        train(
            tiny.request(architecture="dcgan", data={"name": "tiny-pictures", "resolution": 24}),
            tmp_path / "run",
            registry=registry,
        )
    assert not (tmp_path / "run").exists()


def test_a_full_disk_leaves_the_checkpoint_before(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = checkpoint.save_file, []

    def full(tensors: Any, path: Any) -> None:
        calls.append(path)
        if len(calls) > 3:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        real(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(GanforgeError, match=r"could not write .*step-000004: No space left on device"):
        train(tiny.request(steps=6), tmp_path / "run", registry=registry)
    monkeypatch.undo()
    run = Run.load(tmp_path / "run", registry=registry)
    assert [path.name for path in run.checkpoints] == ["step-000002"]
    assert resume(tmp_path / "run", registry=registry).round == 6


def test_cuda_without_a_gpu_is_one_sentence(registry: Registry, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(GanforgeError, match=r"device cuda: torch .* sees no CUDA GPU; use --device cpu or auto"):
        train(tiny.request(machine={"device": "cuda"}), tmp_path / "run", registry=registry)


def test_two_processes_cannot_train_one_run(registry: Registry, tmp_path: Path) -> None:
    train(tiny.request(), tmp_path / "run", registry=registry)
    with locked(tmp_path / "run"), pytest.raises(GanforgeError, match="another process is training in"):
        resume(tmp_path / "run", steps=6, registry=registry)
    assert resume(tmp_path / "run", steps=6, registry=registry).round == 6


def test_batch_norm_needs_two_samples(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(GanforgeError, match="batch norm needs at least two samples in each process"):
        train(tiny.request(architecture={"norm": True}, batch_size=1), tmp_path / "run", registry=registry)
    assert not (tmp_path / "run").exists()
    run = train(tiny.request(batch_size=1), tmp_path / "run", registry=registry)
    assert "diversity" not in (run.directory / "metrics.jsonl").read_text()


def test_compiled_networks_are_not_asked_to_be_differentiated_twice(registry: Registry, tmp_path: Path) -> None:
    machine = {"device": "cpu", "compile": True}
    for name in ("gradient-penalty", "r1"):
        with pytest.raises(GanforgeError, match=f"cannot be differentiated twice, as '{name}' does"):
            train(tiny.request(machine=machine, regularizers={name: True}), tmp_path / "run", registry=registry)


def test_shared_weights_are_saved_and_restored(registry: Registry, tmp_path: Path) -> None:
    run = train(tiny.request(), tmp_path / "run", registry=registry)
    critic = run.game.networks["discriminator"]
    critic.again = critic.first
    saved = checkpoint.save(run.game, tmp_path / "saved", 4, 1)
    tensors = load_file(saved / "networks.safetensors")
    name = "networks.discriminator.{}.weight"
    assert torch.equal(tensors[name.format("again")], tensors[name.format("first")])
    assert checkpoint.load(run.game, saved) == 4


def test_metrics_are_json_even_when_a_figure_is_not_a_number(registry: Registry, tmp_path: Path) -> None:
    far_too_fast = {"lr": 1e38, "optimizer": "sgd"}
    with pytest.raises(TrainingFailed):
        train(
            tiny.request(steps=40, every=40, generator=far_too_fast, discriminator=far_too_fast),
            tmp_path / "run",
            registry=registry,
        )
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()

    def strict(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    assert None in json.loads(lines[-1], parse_constant=strict).values()


def test_training_leaves_torchs_own_randomness_alone(registry: Registry, tmp_path: Path) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    train(tiny.request(), tmp_path / "run", registry=registry)
    assert torch.equal(before, torch.get_rng_state())


PLUGIN = """
from ganforge.core import Options, Regularizer, hookimpl

class Inner(Options):
    most: int | None = None

class Limits(Options):
    limit: int | None = None
    inner: Inner = Inner()
    attached: bool = True
    built: bool = True

def build(options):
    import torch
    from ganforge.core.game import Effect
    class Limited(Effect):
        def attach(self, game):
            if not options.attached:
                raise KeyError("oh")
            part = torch.nn.Module()
            part.register_parameter("a/b", torch.nn.Parameter(torch.ones(2)))
            game.networks["generator"].add_module("c/d", part)
            game.networks["generator"].register_forward_pre_hook(
                lambda network, given: (given[0] * part.get_parameter("a/b").mean(), *given[1:])
            )
    return Limited() if options.built else None

@hookimpl
def ganforge_regularizers():
    return [Regularizer(name="limited", summary="", options=Limits, build=build)]
"""


@pytest.fixture
def limited(tmp_path: Path) -> Registry:
    (tmp_path / "limits.py").write_text(PLUGIN)
    return Registry(files=[tiny.FILE, tmp_path / "limits.py"], fallback=BUILTIN)


def test_options_that_are_none_and_names_with_a_slash_come_back(limited: Registry, tmp_path: Path) -> None:
    run = train(tiny.request(regularizers={"limited": True}), tmp_path / "run", registry=limited)
    loaded = Run.load(tmp_path / "run", registry=limited)
    assert loaded.config == run.config
    assert loaded.config.digest() == run.config.digest()
    assert resume(tmp_path / "run", steps=6, registry=limited).round == 6


@pytest.mark.parametrize(
    ("at", "words"), [("attached", "attach: KeyError"), ("built", "build: .* type Effect, not None")]
)
def test_a_trick_that_fails_names_its_owner(limited: Registry, tmp_path: Path, at: str, words: str) -> None:
    with pytest.raises(GanforgeError, match=rf"regularizer 'limited' of plugin 'limits' .* raised in {words}"):
        train(tiny.request(regularizers={"limited": {at: False}}), tmp_path / "run", registry=limited)
