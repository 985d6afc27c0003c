"""Every command, doing what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tiny
from command import TINY, TRAIN_TINY, done, ganforge
from PIL import Image

from ganforge.cli.main import main
from ganforge.cli.recipes import settings
from ganforge.core.config import merge, parse_settings, read_toml, resolve
from ganforge.core.pictures import to_pixels
from ganforge.core.registry import Registry
from ganforge.core.run import Run
from ganforge.plugins.builtin import BUILTIN


class Trained(NamedTuple):
    run: Path
    file: Path
    registry: Registry


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run of the toy recipe and the file exported from it, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("trained")
    done(*TRAIN_TINY, "--steps", 4, "--seed", 3, "--out", folder / "run")
    done("export", folder / "run", "--out", folder / "tiny.onnx", *TINY)
    return Trained(folder / "run", folder / "tiny.onnx", Registry(files=[tiny.FILE], fallback=BUILTIN))


def test_train_says_what_it_trains_and_what_to_do_next(tmp_path: Path) -> None:
    run = tmp_path / "first"
    outcome = done(*TRAIN_TINY, "--steps", 2, "--out", run)
    assert outcome.err.splitlines()[:2] == [
        "tiny on tiny-pictures: 24 8×8 grey images",
        f"into {run}: 2 rounds, batches of 4 (0.333 epochs), cpu, 1 thread, fp32",
    ]
    assert "round 2/2" in outcome.err
    assert outcome.out.splitlines() == [
        f"look at  {run}/samples/000002.png",
        f"sample   ganforge sample {run} --n 64 --seed 1 -o grid.png",
        f"export   ganforge export {run} -o model.onnx",
    ]


def test_train_names_the_run_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done(*TRAIN_TINY, "--steps", 1)
    (run,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"tiny-tiny-pictures-[0-9a-f]{4}", run.name)


def test_every_flag_reaches_the_config(tmp_path: Path) -> None:
    flags = (
        "--seed",
        7,
        "--resolution",
        12,
        "--precision",
        "bf16",
        "--set",
        "generator.lr=1e-3",
        "--set",
        "loss=tiny",
    )
    done(*TRAIN_TINY, "--images", 10, *flags, "--data-root", "/nowhere", "--out", tmp_path / "run")
    config = read_toml(tmp_path / "run" / "config.toml")
    assert config["steps"] == 3  # 10 images in batches of 4
    assert (config["seed"], config["batch_size"], config["every"], config["log_every"]) == (7, 4, 2, 1)
    assert (config["data"]["resolution"], config["data"]["root"]) == (12, "/nowhere")
    assert config["generator"]["lr"] == 1e-3
    assert config["machine"]["precision"] == "bf16"


def test_flags_win_over_the_file_and_set_wins_over_flags(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'recipe = "tiny"\ndata = "tiny-pictures"\nsteps = 9\nseed = 1\nbatch_size = 2\nsamples = 4\n'
        "observers = []\n[machine]\nthreads = 1\n"
    )
    done(
        "train",
        "--config",
        file,
        "--epochs",
        0.5,
        "--seed",
        2,
        "--set",
        "seed=3",
        *TINY,
        "--out",
        tmp_path / "run",
    )
    config = read_toml(tmp_path / "run" / "config.toml")
    assert (config["seed"], config["steps"]) == (3, 6)  # half of 24 images, two at a time


def test_a_runs_own_config_trains_it_again(trained: Trained, tmp_path: Path) -> None:
    done("train", "--config", trained.run / "config.toml", *TINY, "--out", tmp_path / "again")
    first, second = (Run.load(path, registry=trained.registry) for path in (trained.run, tmp_path / "again"))
    assert first.config == second.config
    np.testing.assert_array_equal(first.sample(2), second.sample(2))


def test_what_a_run_left_out_of_its_recipe_stays_out(tmp_path: Path) -> None:
    registry = Registry(files=[tiny.FILE], fallback=BUILTIN)
    flags = ("--data", "ring", "--steps", 1, "--batch-size", 2, "--threads", 1, "--set", "observers=[]")
    off = ("--set", "regularizers.gradient-penalty=false", "--set", "architecture=tiny")
    done("train", "wgan-gp", *flags, *off, "--out", tmp_path / "run", *TINY)
    again, _ = resolve(read_toml(tmp_path / "run" / "config.toml"), registry)
    assert again == Run.load(tmp_path / "run", registry=registry).config
    assert again.regularizers == {}


def test_resume_of_a_finished_run_says_so(trained: Trained) -> None:
    outcome = done("resume", trained.run, *TINY)
    assert outcome.out == f"{trained.run} is finished: 4 rounds; go further with a larger --steps\n"


def test_resume_goes_on_to_the_new_total(tmp_path: Path) -> None:
    done(*TRAIN_TINY, "--steps", 2, "--out", tmp_path / "run")
    outcome = done("resume", tmp_path / "run", "--steps", 4, *TINY)
    assert f"into {tmp_path / 'run'}: from round 2 to 4" in outcome.err
    assert (tmp_path / "run" / "checkpoints" / "step-000004").is_dir()


def test_the_same_seed_gives_the_same_picture_from_run_and_file(trained: Trained, tmp_path: Path) -> None:
    for source, name in ((trained.run, "run.png"), (trained.file, "file.png")):
        outcome = done("sample", source, "--n", 5, "--seed", 1, "--columns", 5, "-o", tmp_path / name, *TINY)
        assert outcome.out == f"5 samples of seed 1 in {tmp_path / name}\n"
    run, file = (np.asarray(Image.open(tmp_path / name), dtype=int) for name in ("run.png", "file.png"))
    assert run.shape == (2 + 66, 2 + 5 * 66)  # one row of 8×8 pictures, eight times enlarged, two pixels between
    assert np.abs(run - file).max() <= 1  # a value on the edge between two levels may fall either way


def test_samples_as_single_pictures(trained: Trained, tmp_path: Path) -> None:
    done("sample", trained.run, "--n", 3, "--seed", 5, "-o", tmp_path / "pictures", *TINY)
    wanted = to_pixels(Run.load(trained.run, registry=trained.registry).sample(3, 5))[..., 0]
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["000000.png", "000001.png", "000002.png"]
    for name, pixels in zip(names, wanted, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "pictures" / name)), pixels)


def test_sample_writes_into_the_current_folder_by_default(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert done("sample", trained.run, "--n", 1, *TINY).out == "1 samples of seed 0 in samples.png\n"
    assert Image.open("samples.png").size == (68, 68)


def test_points_are_one_scatter_plot(tmp_path: Path) -> None:
    done(*TRAIN_TINY, "--data", "ring", "--steps", 1, "--out", tmp_path / "run")
    done("sample", tmp_path / "run", "--n", 9, "-o", tmp_path / "points.png", *TINY)
    assert Image.open(tmp_path / "points.png").size == (480, 480)


def test_export_prints_what_was_proved(trained: Trained, tmp_path: Path) -> None:
    outcome = done("export", trained.run, "-o", tmp_path / "m.onnx", *TINY)
    first, proof, following = outcome.out.splitlines()
    assert re.fullmatch(re.escape(str(tmp_path / "m.onnx")) + r": tiny for 8×8 grey images, 0\.\d MB", first)
    assert re.search(r"in batches of 1, 2, 7, 16; largest difference \d\.\de-\d\d$", proof)
    assert following == f"sample   ganforge sample {tmp_path / 'm.onnx'} --n 64 --seed 1 -o grid.png"


def test_recipes_list() -> None:
    rows = json.loads(done("recipes", "list", "--json", *TINY).out)
    assert {"name": "tiny", "summary": "a toy", "paper": "", "plugin": "tiny"} in rows
    table = done("recipes", "list", *TINY).out
    assert re.search(r"^dcgan +deep convolutional GAN +1511\.06434 +dcgan *$", table, re.MULTILINE)


def test_recipes_show_gives_the_paper_and_every_setting() -> None:
    text = done("recipes", "show", "dcgan", *TINY).out
    assert text.startswith("dcgan: deep convolutional GAN\nhttps://arxiv.org/abs/1511.06434\n")
    assert re.search(r"^architecture\.width +128 +integer +channels of the widest maps", text, re.MULTILINE)
    assert re.search(r"^generator\.lr +0\.0002 +number +learning rate", text, re.MULTILINE)
    shown = json.loads(done("recipes", "show", "dcgan", "--json").out)
    assert shown["paper"] == "https://arxiv.org/abs/1511.06434"
    values = {setting["key"]: setting["value"] for setting in shown["settings"]}
    assert (values["batch_size"], values["latent.name"], values["generator.betas"]) == (
        128,
        "uniform",
        [0.5, 0.999],
    )


def test_recipes_show_gives_what_a_conditioning_brings_and_its_options() -> None:
    registry = Registry(fallback=BUILTIN)
    embedding = {"conditioning": {"name": "embedding", "dim": 7}}
    config = resolve({"recipe": "dcgan", "data": "digits", "discriminator": embedding}, registry)[0]
    shown = {row.key: row.value for row in settings(config.model_dump(), registry)}
    assert (shown["generator.conditioning"], shown["discriminator.conditioning.dim"]) == ("none", 7)
    text = done("recipes", "show", "acgan").out
    assert re.search(r"^regularizers\.auxiliary-classifier\.weight +1\.0 +number", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("recipe", "data"), [("wgan-gp", "digits"), ("vanilla", "ring"), ("acgan", "digits"), ("tiny", "tiny-pictures")]
)
def test_every_key_shown_is_one_that_set_takes(recipe: str, data: str) -> None:
    registry = Registry(files=[tiny.FILE], fallback=BUILTIN)
    shown = json.loads(done("recipes", "show", recipe, "--data", data, "--json", *TINY).out)["settings"]
    given = [f"{row['key']}={json.dumps(row['value'])}" for row in shown if row["value"] is not None]
    asked = {"recipe": recipe, "data": data}
    assert resolve(merge(asked, parse_settings(given)), registry)[0] == resolve(asked, registry)[0]


def test_what_a_recipe_leaves_out_is_shown_as_false() -> None:
    values = {"data": {"name": ""}, "architecture": {"name": "dcgan"}, "loss": {"name": "hinge"}}
    values |= {"recipe": {"name": "dcgan"}, "observers": {"gif": False, "report": True}}
    shown = {row.key: row.value for row in settings(values, Registry(fallback=BUILTIN))}
    assert (shown["observers.gif"], shown["observers.report"]) == (False, True)
    assert not [key for key in shown if key.startswith("observers.gif.")]


def test_datasets_list() -> None:
    rows = {row["name"]: row for row in json.loads(done("datasets", "list", "--json", *TINY).out)}
    assert rows["ring"]["kind"] == "points"
    assert rows["tiny-pictures"]["options"] == {"n": 24, "classes": 0}
    assert rows["folder"]["options"]["path"] is None
    assert rows["mnist"]["downloads"]
    assert not rows["digits"]["downloads"]
    assert re.search(r"^mnist +images +--data-root or --download ", done("datasets", "list").out, re.MULTILINE)


def test_plugins_list() -> None:
    rows = {row["name"]: row for row in json.loads(done("plugins", "list", "--json", *TINY).out)}
    assert rows["dcgan"]["offers"] == {"architecture": ["dcgan"], "recipe": ["dcgan"]}
    assert rows["tiny"]["distribution"] == str(tiny.FILE)
    assert not any(row["problem"] for row in rows.values())
    assert "architecture dcgan; recipe dcgan" in done("plugins", "list").out


def test_version_and_help() -> None:
    assert re.match(r"ganforge (\d|\()", done("--version").out)
    assert done().out == done("--help").out
    for command in ("train", "resume", "sample", "export", "recipes", "plugins", "datasets", "doctor"):
        assert command in done("--help").out
        assert done(command, "--help").out
    groups = ganforge("recipes")
    assert (groups.code, groups.out) == (2, "")
    assert groups.err == done("recipes", "--help").out


def test_shell_completion_knows_the_names(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("_GANFORGE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "ganforge train dcg")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setattr("ganforge.core.registry._default", None)
    with pytest.raises(SystemExit):
        main([])
    assert "dcgan" in capsys.readouterr().out.split()
