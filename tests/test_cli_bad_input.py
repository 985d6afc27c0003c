"""Every mistake ends in one sentence and exit code 2, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from command import TINY, TRAIN_TINY, done, refused

WANTED = "input should be"


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder in which nothing may have appeared after the mistake."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    done(*TRAIN_TINY, "--steps", 4, "--out", run)
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A finished run with checkpoints of rounds 2 and 4, to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["train", "dcgn", "--data", "tiny-pictures"],
            "unknown recipe 'dcgn'; did you mean 'dcgan' or 'cdcgan' or 'cgan'?",
        ),
        (
            ["train", "tiny", "--data", "tiny-picture"],
            "unknown dataset 'tiny-picture'; did you mean 'tiny-pictures'?",
        ),
        (["train", "--data", "tiny-pictures"], "a training needs a recipe: give its name"),
        (["train", "tiny"], "a training needs data: name a data set or a folder of pictures"),
        (["trian", "tiny"], "No such command 'trian'. Did you mean 'train'?"),
        (["recipes", "show", "tny"], "unknown recipe 'tny'; did you mean 'tiny'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_unknown_names(arguments: list[str], sentence: str) -> None:
    assert refused(*arguments, *TINY) == sentence


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("generator.lrr=1", "unknown option 'generator.lrr'; did you mean 'lr' or 'lr_warmup'?"),
        ("architecture.nrom=1", "unknown option 'architecture.nrom'; did you mean 'norm'?"),
        ("data.clases=1", "unknown option 'data.clases'; did you mean 'classes'?"),
        ("data.resolutoin=8", "unknown option 'data.resolutoin'; did you mean 'resolution'?"),
        ("loss=hing", "unknown loss 'hing'; did you mean 'hinge' or 'tiny'?"),
        ("regularizers.r3.gamma=1", "unknown regularizer 'r3'; did you mean 'r2' or 'r1'?"),
        ('observers=["gfi"]', "unknown observer 'gfi'; did you mean 'gif'?"),
        (
            "generator.lr=fast",
            f"option 'generator.lr': {WANTED} a valid number, unable to parse string as a number, not 'fast'",
        ),
        ("generator.lr=-1", f"option 'generator.lr': {WANTED} greater than 0, not -1"),
        ("generator.lr=nan", f"option 'generator.lr': {WANTED} a finite number, not nan"),
        ("generator.betas=[0.5, 2]", f"option 'generator.betas.1': {WANTED} less than 1, not 2"),
        ("generator=3", "option 'generator': takes settings by name, as in NAME.KEY=VALUE, not 3"),
        ("loss=3", "option 'loss': takes settings by name, as in NAME.KEY=VALUE, not 3"),
        ("generator.betas=0.5", 'option \'generator.betas\': takes a list, as [1, 2] or ["a", "b"], not 0.5'),
        ("order=first", f"option 'order': {WANTED} 'discriminator-first' or 'generator-first', not 'first'"),
        ("machine.device=gpu", "option 'machine.device': takes auto, cpu, cuda or cuda:N, not 'gpu'"),
        ("recipe.name=3", f"option 'recipe.name': {WANTED} a valid string, not 3"),
        ("epochs=inf", "option 'epochs': must be a positive number, not inf"),
        ("lr", "--set takes key=value, as in generator.lr=1e-4, not 'lr'"),
        ("generator..lr=1", "--set takes key=value, as in generator.lr=1e-4, not 'generator..lr=1'"),
        ("=1", "--set takes key=value, as in generator.lr=1e-4, not '=1'"),
    ],
)
def test_settings(setting: str, sentence: str) -> None:
    assert refused(*TRAIN_TINY, "--set", setting) == sentence


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--steps", "5", "--epochs", "2"], "give one of steps, epochs and images, not epochs and steps"),
        (["--steps", "0"], f"option 'steps': {WANTED} greater than or equal to 1, not 0"),
        (["--images", "-3"], "option 'images': must be a positive number, not -3"),
        (["--seed", "-1"], f"option 'seed': {WANTED} greater than or equal to 0, not -1"),
        (["--precision", "fp8"], f"option 'machine.precision': {WANTED} 'fp32', 'bf16' or 'fp16', not 'fp8'"),
        (["--data", "no/such/folder"], "no/such/folder: No such file or directory"),
        (["--resolution", "2"], f"option 'data.resolution': {WANTED} greater than or equal to 4, not 2"),
        (["--steps", "many"], "--steps"),
        (["--stesp", "3"], "No such option: --stesp"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_flags(flags: list[str], sentence: str) -> None:
    assert sentence in refused(*TRAIN_TINY, *flags)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[generator]\nlr = -1\n", f"option 'generator.lr': {WANTED} greater than 0, not -1"),
        ("batch_size = 8.5\n", "option 'batch_size': "),
        ("[archtecture]\nname = 'tiny'\n", "unknown option 'archtecture'; did you mean 'architecture'?"),
        ("steps = 3\nimages = 9\n", "give one of steps, epochs and images, not images and steps"),
        ("batch_size = \n", "mine.toml is not TOML: "),
        (b"\xff\xfe", "cannot read config file "),
        (None, "mine.toml: No such file or directory"),
    ],
)
def test_config_files(text: str | bytes | None, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    flags = ("train", "tiny", "--data", "tiny-pictures", "--config", file, *TINY)
    assert sentence in refused(*flags)


def test_an_image_size_the_architecture_cannot_build() -> None:
    sentence = refused(*TRAIN_TINY, "--resolution", 24, "--set", "architecture=dcgan")
    assert sentence == (
        "architecture 'dcgan' cannot build 24×24; it builds squares of side 8, 16, 28, 32, 64, 128 or 256: "
        "choose one with --resolution"
    )


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    sentence = refused(*TRAIN_TINY, "--device", "cuda")
    assert sentence == f"--device cuda: torch {torch.__version__} sees no CUDA GPU; use --device cpu or auto"


def test_a_run_that_exists(run: Path) -> None:
    before = (run / "config.toml").read_bytes()
    sentence = refused(*TRAIN_TINY, "--out", run)
    assert sentence == f"{run} exists already: go on with `ganforge resume {run}` or give another --out"
    assert (run / "config.toml").read_bytes() == before


@pytest.mark.parametrize("command", ["resume", "sample", "export"])
def test_what_is_no_run(command: str, empty: Path, tmp_path: Path) -> None:
    assert refused(command, empty, *TINY) == f"{empty} is not a run directory: it has no config.toml"
    nowhere = tmp_path / "nowhere"
    assert refused(command, nowhere, *TINY) == f"{nowhere} is not a run directory: it has no config.toml"


@pytest.mark.parametrize("command", ["resume", "sample", "export"])
def test_a_run_of_a_plugin_that_is_not_there(command: str, run: Path) -> None:
    sentence = refused(command, run)
    assert sentence == f"{run} needs the recipe 'tiny' of {TINY[1]}, load it with --plugin {TINY[1]}"


def test_a_run_of_a_distribution_that_is_not_installed(run: Path) -> None:
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace(f'recipe = "{TINY[1]}"', 'recipe = "tiny-gans 1.2"'))
    assert refused("resume", run) == f"{run} needs the recipe 'tiny' of tiny-gans 1.2, which is not installed here"


@pytest.mark.parametrize("name", ["networks.safetensors", "optimizers.safetensors", "position.json"])
@pytest.mark.parametrize("left", [0, 10])
@pytest.mark.parametrize("command", ["resume", "sample", "export"])
def test_a_truncated_checkpoint(command: str, name: str, left: int, run: Path) -> None:
    checkpoint = run / "checkpoints" / "step-000004"
    (checkpoint / name).write_bytes((checkpoint / name).read_bytes()[:left])
    sentence = refused(command, run, *TINY)
    assert sentence.startswith(f"checkpoint {checkpoint} is damaged (")
    assert sentence.endswith("; delete that folder to go on from the checkpoint before it, or from the start")
    shutil.rmtree(checkpoint)
    done("resume", run, *TINY)
    assert checkpoint.is_dir()


def test_a_checkpoint_with_a_file_missing(run: Path) -> None:
    (run / "checkpoints" / "step-000004" / "optimizers.safetensors").unlink()
    assert "is damaged (No such file or directory" in refused("resume", run, *TINY)


def test_a_checkpoint_of_another_config(run: Path, tmp_path: Path) -> None:
    done(*TRAIN_TINY, "--steps", 4, "--set", "latent.dim=5", "--out", tmp_path / "other")
    mine, theirs = (path / "checkpoints" / "step-000004" for path in (run, tmp_path / "other"))
    shutil.rmtree(mine)
    shutil.copytree(theirs, mine)
    sentence = refused("resume", run, "--steps", 6, *TINY)
    assert sentence.startswith(f"checkpoint {mine} does not fit the run's config: ")
    assert "size mismatch for networks.generator.first.weight" in sentence


def test_a_checkpoint_of_a_newer_format(run: Path) -> None:
    checkpoint = run / "checkpoints" / "step-000004"
    position = json.loads((checkpoint / "position.json").read_text())
    (checkpoint / "position.json").write_text(json.dumps({**position, "format": 2}))
    (checkpoint / "optimizers.safetensors").unlink()  # a newer format may have other files
    assert refused("resume", run, *TINY) == f"checkpoint {checkpoint} has format 2; this ganforge reads up to 1"


def test_a_run_whose_config_was_edited_badly(run: Path) -> None:
    config = run / "config.toml"
    config.write_text(config.read_text().replace("batch_size = 4", "batch_size = 0"))
    assert refused("resume", run, *TINY) == f"option '{config}.batch_size': {WANTED} greater than or equal to 1, not 0"


def test_a_run_without_a_checkpoint_has_no_samples(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    for command in ("sample", "export"):
        sentence = f"{run} has no checkpoint yet; train it with: ganforge resume {run}"
        assert refused(command, run, *TINY) == sentence


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ["-o", "grid.jpg"],
            "pictures are written as PNG; give --out a name that ends in .png, or a folder, not grid.jpg",
        ),
        (["--label", "7"], "was trained without labels; leave --label out"),
        (["--n", "0"], "--n"),
        (["--truncation", "0"], "--truncation"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_sampling(flags: list[str], sentence: str, run: Path) -> None:
    assert sentence in refused("sample", run, *flags, *TINY)


def test_pictures_are_not_mixed_into_a_folder_of_others(run: Path) -> None:
    assert refused("sample", run, "-o", run / "samples", *TINY) == (
        f"folder {run / 'samples'} is not empty; give --out a new one, or a name that ends in .png"
    )
    config = run / "LICENSE"
    config.touch()
    assert refused("sample", run, "-o", config, *TINY) == (
        f"{config} is a file; give --out a new folder, or a name that ends in .png"
    )


def test_files_that_are_no_models(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    assert refused("sample", file) == f"cannot read {file}: No such file or directory"
    file.write_bytes(b"not an onnx file")
    assert str(file) in refused("sample", file)
    text = tmp_path / "model.txt"
    text.touch()
    assert refused("sample", text) == (
        f"{text} is a file; give the run directory it came from, or a file that ends in .onnx"
    )


def test_a_folder_that_may_not_be_written(run: Path) -> None:
    blocked = run / "config.toml" / "grid.png"  # a file where a folder would have to be, which stops root as well
    assert refused("sample", run, "-o", blocked, *TINY).startswith(f"could not write {blocked}: ")
    assert refused("export", run, "-o", blocked.with_suffix(".onnx"), *TINY).startswith("could not write ")
    assert refused(*TRAIN_TINY, "--out", blocked).startswith(f"could not write {blocked}: ")
