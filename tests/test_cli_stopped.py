"""What stops a training from outside: Ctrl-C, a kill, a full disk, a reader that goes away."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
from pathlib import Path

import pytest
import tiny
import torch
from command import TINY, TRAIN_TINY, done, ganforge, refused, start, wait_for

from ganforge.cli.main import verdict
from ganforge.core.registry import Registry
from ganforge.core.run import Run
from ganforge.plugins.builtin import BUILTIN


def weights(run: Path) -> dict[str, torch.Tensor]:
    return dict(Run.load(run, registry=Registry(files=[tiny.FILE], fallback=BUILTIN)).game.state_dict())


def rounds_logged(run: Path) -> list[int]:
    return [json.loads(line)["round"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(*TRAIN_TINY, "--every", 1_000_000, "--steps", 1_000_000, "--out", run)
    wait_for(lambda: (run / "metrics.jsonl").exists() and rounds_logged(run), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    last = rounds_logged(run)[-1]
    assert err.splitlines()[-1] == f"stopped after round {last}; go on with: ganforge resume {run}"
    assert (out, "Traceback" in err) == ("", False)
    assert [path.name for path in (run / "checkpoints").iterdir()] == [f"step-{last:06d}"]

    done("resume", run, "--steps", last + 3, *TINY)
    assert rounds_logged(run)[-3:] == [last + 1, last + 2, last + 3]


# 8×8 begins to fade in after two rounds, and still does when the run ends: wherever the kill falls, it is in mid-fade.
TRAIN_FADING = (
    *("train", "progan", "--data", "digits", "--resolution", "16", "--batch-size", "4", "--log-every", "1"),
    *("--device", "cpu", "--threads", "1", "--set", "architecture.width=4", "--set", "latent.dim=4"),
    *("--set", "regularizers.progressive-growing.stable=8", "--set", "regularizers.progressive-growing.fade=400"),
    *("--set", "samples=4", "--set", "observers=[]", *TINY),
)


@pytest.mark.parametrize("train", [TRAIN_TINY, TRAIN_FADING], ids=["tiny", "progan in mid-fade"])
def test_kill_9_and_resume_end_with_the_weights_of_an_unbroken_run(train: tuple[str, ...], tmp_path: Path) -> None:
    steps = 60
    run, unbroken = tmp_path / "killed", tmp_path / "unbroken"
    process = start(*train, "--every", 5, "--steps", steps, "--out", run)
    wait_for(lambda: list((run / "checkpoints").glob("step-*")), process)
    process.kill()
    process.communicate(timeout=120)
    if train is TRAIN_FADING:
        assert 0 < weights(run)["networks.generator.stage.place"] < 1

    done("resume", run, *TINY)
    done(*train, "--every", 5, "--steps", steps, "--out", unbroken)
    assert rounds_logged(run) == rounds_logged(unbroken) == list(range(1, steps + 1))
    killed, wanted = weights(run), weights(unbroken)
    assert killed.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(killed[name], tensor), name


def test_a_disk_that_fills_up_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"
    done(*TRAIN_TINY, "--steps", 2, "--out", run)
    before = weights(run)
    size = (run / "checkpoints" / "step-000002" / "networks.safetensors").stat().st_size

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, size - 1))  # the system refuses any larger file

    process = start("resume", run, "--steps", 4, *TINY, preexec_fn=small_disk)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert err.splitlines()[-1].startswith(f"error: could not write {run / 'checkpoints' / 'step-000004'}: ")
    assert "Traceback" not in err
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-000002"]
    after = weights(run)
    assert all(torch.equal(before[name], after[name]) for name in before)
    done("resume", run, *TINY)
    assert (run / "checkpoints" / "step-000004").is_dir()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_what_the_system_refuses_is_no_bug(code: int) -> None:
    sentence = f"error: could not write there: {os.strerror(code)}"
    assert verdict(OSError(code, os.strerror(code), "there")) == (sentence, 2)


def test_a_training_that_diverges_exits_with_1(tmp_path: Path) -> None:
    run = tmp_path / "run"
    # Steps of this size overflow float32 within a few rounds.
    outcome = ganforge(*TRAIN_TINY, "--steps", 50, "--set", "discriminator.lr=1e38", "--out", run)
    assert outcome.code == 1
    last = outcome.err.splitlines()[-1]
    assert last.startswith("error: training stopped in round ")
    assert f"try a smaller learning rate: ganforge train --config {run / 'config.toml'} --set " in last


def test_a_reader_that_goes_away_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = start("recipes", "show", "dcgan", stdout=writing)
    os.close(writing)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (1, "")


def test_a_folder_of_a_run_that_never_began_is_taken(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    done(*TRAIN_TINY, "--steps", 1, "--out", tmp_path / "run")
    sentence = refused(*TRAIN_TINY, "--steps", 1, "--out", tmp_path / "run")
    assert "exists already" in sentence
