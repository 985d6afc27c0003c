"""Evaluating: who is asked how often, what is kept, how scores are called, what they tell of themselves."""

from __future__ import annotations

import json
import weakref
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny
import torch
from command import TINY, TRAIN_TINY, done, refused
from PIL import Image

from ganforge.cli.evaluate import show
from ganforge.core import ArrayData, DataSpec, GanforgeError
from ganforge.core.card import Score
from ganforge.core.data import Split
from ganforge.core.evaluate import evaluate
from ganforge.core.evaluation import Asked, Reference, silent
from ganforge.core.latents import Generator, Latent
from ganforge.core.registry import Registry
from ganforge.core.seer import Seer
from ganforge.core.versions import own_version
from ganforge.plugins.builtin import BUILTIN
from ganforge.serve import load

SPY = """
from pathlib import Path

from pydantic import Field

from ganforge.core import FeatureExtractor, Metric, Options, hookimpl

CALLS = []
KNOWN = {"weights": "of the spy", "preprocessing": "none"}

class Brightness(Options):
    scale: float = 1.0
    place: Path | None = Field(None, exclude=True)

class Lightness(Options):
    shade: str = "grey"
    steps: int = 3

def build(options, training):
    from ganforge.core.evaluation import Extractor, Features

    class Spy(Extractor):
        weights, preprocessing, dim, standard = KNOWN["weights"], KNOWN["preprocessing"], 1, True

        def embed(self, pixels):
            CALLS.append(len(pixels))
            return Features(options.scale * pixels.mean(dim=(1, 2, 3))[:, None])

    return Spy()

def mean(options, case):
    class Mean:
        def __init__(self):
            self.real, self.made = [], []

        def update(self, batch, real):
            (self.real if real else self.made).append(batch.features)

        def compute(self):
            import torch
            return {"gap": torch.cat(self.made).mean() - torch.cat(self.real).mean(), "n": case.samples}

    return Mean()

def bright(options, case):
    class Bright:
        provenance = {"weights": "of its own"}

        def update(self, batch, real):
            assert batch.features is None or len(batch.samples) == len(batch.features)

        def compute(self):
            return {"bright": 1.0}

    return Bright()

def bare(options, case):
    scorer = mean(options, case)

    def update(batch, real):
        raise AssertionError(batch.samples)

    scorer.update = update
    return scorer

def curious(options, case):
    class Curious:
        def update(self, batch, real):
            raise AssertionError("there is nothing to be seen")

        def compute(self):
            import numpy as np
            made = case.generator.make(np.zeros((1, case.generator.latent.width)), None)
            return {"made": made.mean(), "mean": case.look(case.training).features.mean()}

    return Curious()

def endless(options, case):
    scorer = mean(options, case)
    scorer.compute = lambda: {"gap": float("nan")}
    return scorer

@hookimpl
def ganforge_feature_extractors():
    return [FeatureExtractor(name="spy", summary="", options=Brightness, build=build, requires=("PIL.Image",))]

@hookimpl
def ganforge_metrics():
    needs = frozenset({"features"})
    return [
        Metric(name="gap", summary="", build=mean, needs=needs),
        Metric(name="again", summary="", build=mean, needs=needs),
        Metric(name="logical", summary="", build=mean, needs=frozenset({"logits"})),
        Metric(name="labelled", summary="", build=mean, needs=frozenset({"images", "labels"})),
        Metric(name="hungry", summary="", build=mean, needs=needs, least=30),
        Metric(name="needy", summary="", build=mean, needs=needs, requires=("a_module_nobody_has",)),
        Metric(name="bright", summary="", build=bright, needs=needs | {"images"}, options=Lightness),
        Metric(name="dark", summary="", build=bright, needs=frozenset({"images"}), options=Lightness),
        Metric(name="helped", summary="", build=mean, needs=needs, requires=("importlib", "torchmetrics")),
        Metric(name="bare", summary="", build=bare, needs=needs),
        Metric(
            name="curious", summary="", build=curious, needs=frozenset({"generator", "extractor"}), floor=False
        ),
        Metric(name="endless", summary="", build=endless, needs=needs),
        Metric(name="broken", summary="", build=lambda options, case: 1 / 0, needs=needs),
    ]
"""


@pytest.fixture
def spied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The spy's registry, and an empty cache."""
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "spy.py"
    file.write_text(SPY)
    return Registry(files=[file, tiny.FILE], fallback=BUILTIN)


def calls() -> list[int]:
    """How many images the spy was shown each time, since it was last asked."""
    import sys

    seen = sys.modules["ganforge_plugin_spy"].CALLS
    answer = list(seen)
    seen.clear()
    return answer


def pictures(value: int, n: int = 20, side: int = 4) -> ArrayData:
    """Grey square pictures around one brightness, no two alike."""
    samples = np.full((n, 1, side, side), value, np.uint8) + (np.arange(n) % 20).astype(np.uint8)[:, None, None, None]
    return ArrayData(DataSpec(shape=(1, side, side)), samples)


def made(start: int, n: int) -> tuple[np.ndarray, None]:
    return np.full((n, 1, 4, 4), 130, np.uint8), None


def scored(registry: Registry, training: ArrayData, test: ArrayData, *metrics: str, **asked: Any) -> list[Score]:
    wanted = Asked({name: {} for name in metrics}, "spy", **{"samples": 20, "batch_size": 8, **asked})
    return evaluate(made, Reference(training, test), wanted, registry)


def test_each_image_is_shown_to_the_extractor_once(spied: Registry) -> None:
    scored(spied, pictures(50), pictures(100), "gap", "again")
    # Real ones of the test split, once for both sides, then the generated, then real ones of the other split.
    assert calls() == [8, 8, 4] * 3


def test_values_floor_and_provenance(spied: Registry) -> None:
    gap, n = scored(spied, pictures(50), pictures(100), "gap")
    assert gap.name == "gap_spy@20"
    assert gap.value == pytest.approx(130 - 109.5)
    assert n.value == 20
    told = gap.provenance
    assert told["floor"] == pytest.approx(59.5 - 109.5)
    expected = {
        "metric": "gap",
        "extractor": "spy",
        "weights": "of the spy",
        "samples": 20,
        "real": 20,
        "split": "test",
    }
    assert expected.items() <= told.items()
    assert told["data"] == pictures(100).fingerprint
    assert "compared with" not in told


def test_there_is_no_floor_of_fewer_samples(spied: Registry) -> None:
    gap, _ = scored(spied, pictures(50, n=19), pictures(100), "gap")
    assert "floor" not in gap.provenance
    assert calls() == [8, 8, 4] * 2


def test_a_module_that_is_missing_is_named(spied: Registry) -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        scored(spied, pictures(50), pictures(100), "needy")
    assert caught.value.name == "a_module_nobody_has"


def test_real_features_are_kept_until_anything_changes_them(spied: Registry) -> None:
    first = scored(spied, pictures(50), pictures(100), "gap")
    calls()
    assert scored(spied, pictures(50), pictures(100), "gap") == first
    assert calls() == [8, 8, 4]  # only the generated ones
    # A cache keyed by the data set's name would return the old score here.
    changed = scored(spied, pictures(50), pictures(120), "gap")
    assert changed[0].value == pytest.approx(130 - 129.5)
    calls()
    scaled = scored(spied, pictures(50), pictures(100), "gap", extractor_options={"scale": 2.0})
    assert scaled[0].value == pytest.approx(2 * first[0].value)
    assert len(calls()) == 9
    scored(spied, pictures(50), pictures(100), "gap", seed=1)
    assert len(calls()) == 9


def test_kept_features_are_found_by_all_that_decides_them(
    spied: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    def kept(training: ArrayData, test: ArrayData, split: Split = "test", **asked: Any) -> int:
        """How many sets of features there are after a score."""
        wanted = Asked({"gap": {}}, "spy", samples=20, **asked)
        side = test.spec.shape[1]
        reference = Reference(training, test, split, floor=False)
        evaluate(lambda start, n: (np.zeros((n, 1, side, side), np.uint8), None), reference, wanted, spied)
        return len(list((tmp_path / "cache" / "features").iterdir()))

    same = (pictures(50), pictures(100))
    assert kept(*same) == kept(*same) == 1
    # Where weights lie, and a library that none of it goes through, change nothing.
    assert kept(*same, extractor_options={"place": str(tmp_path)}) == 1
    installed = {"ganforge": "1", "torch": "1", "pillow": "1", "torchmetrics": "1"}
    monkeypatch.setattr("ganforge.core.versions.version", installed.__getitem__)
    assert kept(*same) == 2
    installed["torchmetrics"] = "2"
    assert kept(*same) == 2
    assert kept(*same, split="train") == 3
    assert kept(pictures(50, side=8), pictures(100, side=8)) == 4
    assert kept(*same, extractor_options={"scale": 2.0}) == 5
    for count, library in enumerate(("ganforge", "torch", "pillow"), start=6):
        installed[library] = "2"
        assert kept(*same) == count
    known = sys.modules["ganforge_plugin_spy"].KNOWN
    for count, part in enumerate(("weights", "preprocessing"), start=9):
        monkeypatch.setitem(known, part, "another")
        assert kept(*same) == count


def test_a_score_tells_the_libraries_it_went_through(spied: Registry, tmp_path: Path) -> None:
    helped, _, gap, _, dark = scored(
        spied,
        pictures(50),
        pictures(100),
        *("helped", "gap", "dark"),
        extractor_options={"place": str(tmp_path / "weights")},
    )
    expected = {name: version(name) for name in ("torch", "pillow", "torchmetrics")} | {"ganforge": own_version()}
    libraries = [{k: v for k, v in score.provenance.items() if k in expected} for score in (helped, gap, dark)]
    del expected["torchmetrics"], expected["pillow"]
    assert libraries[2] == expected
    expected["pillow"] = version("pillow")
    assert libraries[1] == expected
    assert libraries[0] == expected | {"torchmetrics": version("torchmetrics")}
    # A metric's own network is told as well, and no place on this machine is.
    assert dark.provenance["dark.weights"] == "of its own"
    assert str(tmp_path) not in helped.model_dump_json()


def test_a_name_tells_the_options_that_were_set(spied: Registry, tmp_path: Path) -> None:
    def names(metric: str, settings: dict[str, Any], **features: Any) -> list[str]:
        wanted = Asked({metric: settings}, "spy", features, samples=20)
        return [score.name for score in evaluate(made, Reference(pictures(50), pictures(100)), wanted, spied)]

    assert names("bright", {}) == ["bright_spy@20"]
    assert names("bright", {"steps": 3, "shade": "grey"}, place=str(tmp_path), scale=1) == ["bright_spy@20"]
    assert names("bright", {"steps": 4}) == ["bright_spy@20[steps=4]"]
    assert names("bright", {"shade": "blue"}, scale=2) == ["bright_spy@20[shade=blue,features.scale=2.0]"]
    assert names("dark", {"steps": 4}, scale=2) == ["bright@20[steps=4]"]  # which sees no features


class Counted:
    """Data in memory that counts how often it is fetched; `kept` is how many of its batches are still held."""

    def __init__(self, data: ArrayData) -> None:
        self.data, self.batches = data, list[weakref.ref[np.ndarray]]()

    def fetch(self, indices: np.ndarray) -> tuple[np.ndarray, None]:
        samples = self.data.samples[indices]
        self.batches.append(weakref.ref(samples))
        return samples, None

    @property
    def kept(self) -> int:
        return sum(batch() is not None for batch in self.batches)


def test_samples_whose_features_are_known_are_not_fetched(spied: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scored(spied, pictures(50), pictures(100), "gap")
    test = pictures(100)
    monkeypatch.setattr(ArrayData, "fetch", None)
    assert scored(spied, pictures(50), test, "gap") == first
    with pytest.raises(TypeError):  # whoever looks at images gets them
        scored(spied, pictures(50), test, "gap", "bright")


def test_images_of_earlier_batches_are_let_go(spied: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Counted(pictures(100, n=400))
    monkeypatch.setattr(ArrayData, "fetch", lambda self, indices: real.fetch(indices))
    fakes = Counted(pictures(130, n=400))
    held: list[int] = []

    def sample(start: int, n: int) -> tuple[np.ndarray, None]:
        held.append(max(real.kept, fakes.kept))
        return fakes.fetch(np.arange(start, start + n))

    wanted = Asked({"gap": {}, "fid": {}, "prdc": {}, "bright": {}}, "spy", samples=400, batch_size=8)
    evaluate(sample, Reference(pictures(50, n=400), pictures(100, n=400)), wanted, spied)
    assert len(held) == 50
    assert max(held) <= 2  # the batch in work, and the one before it


def test_what_no_metric_needs_is_not_there(spied: Registry) -> None:
    with pytest.raises(GanforgeError, match=r"metric 'bare' .* raised in update: AssertionError: None"):
        scored(spied, pictures(50), pictures(100), "bare")


def test_a_metric_can_ask_for_the_generator_and_for_all_of_the_training_split(spied: Registry) -> None:
    data = pictures(100)
    generator = Generator(Latent(dim=2), data.spec, False, lambda latents, labels: np.ones((len(latents), 1, 4, 4)))
    with pytest.raises(GanforgeError, match="metric 'curious' needs the generator itself, and was given its samples"):
        scored(spied, pictures(50, n=30), data, "curious")
    for fresh in (True, False):
        wanted = Asked({"curious": {}}, "spy", samples=20, batch_size=8)
        scores = evaluate(made, Reference(pictures(50, n=30), data), wanted, spied, generator=generator)
        # Its own look at all 30, and nothing of the samples, which it does not need; there is no floor.
        assert calls() == ([8, 8, 8, 6] if fresh else [])
        mean = 50 + (190 + 45) / 30
        assert {score.name: score.value for score in scores} == {"made_spy@20": 1, "mean_spy@20": pytest.approx(mean)}
        assert "floor" not in scores[0].provenance
        assert scores[0].provenance["compared with"] == "all 30 of the train split"


def test_known_features_of_a_whole_split_are_not_copied(spied: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    data, told = pictures(50, n=30), list[tuple[str, int, int]]()
    seer = Seer(data, Asked({}, "spy"), spied)
    first = seer.whole("all", data, 8, silent)
    monkeypatch.setattr(torch, "cat", None)
    again = seer.whole("all", data, 8, lambda *what: told.append(what))
    assert torch.equal(again.features, first.features)
    assert told == [("all", 30, 30)]


def test_a_damaged_cache_is_made_again(spied: Registry, tmp_path: Path) -> None:
    first = scored(spied, pictures(50), pictures(100), "gap")
    for file in (tmp_path / "cache" / "features").iterdir():
        file.write_bytes(file.read_bytes()[:10])
    assert scored(spied, pictures(50), pictures(100), "gap") == first


def test_a_name_without_a_number_is_of_fifty_thousand_standard_ones(spied: Registry) -> None:
    many = pictures(50, n=50_000)
    asked = {"samples": 50_000, "batch_size": 50_000}
    assert scored(spied, many, many, "gap", **asked)[0].name == "gap"
    assert scored(spied, many, many, "gap", about={"truncation": 0.5}, **asked)[0].name == "gap_spy@50k"
    scaled = scored(spied, many, many, "gap", extractor_options={"scale": 2.0}, **asked)
    assert scaled[0].name == "gap_spy@50k[features.scale=2.0]"
    assert scored(spied, many, pictures(100), "gap", **asked)[0].name == "gap_spy@50k"  # few real ones
    assert scored(spied, pictures(50), pictures(100), "gap", samples=5000)[0].name == "gap_spy@5k"


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ("modes", "metric 'modes' scores points, and the data has 4×4 grey images"),
        ("labelled", "metric 'labelled' needs labelled data, and this has no classes"),
        ("logical", "metric 'logical' needs a classifier, and 'spy' gives no logits"),
        ("hungry", "metric 'hungry' needs at least 30 generated samples, not 20"),
        ("endless", "metric 'endless' gives no finite gap for these samples"),
        ("gapp", "unknown metric 'gapp'; did you mean 'gap'?"),
        ("broken", "metric 'broken' of plugin 'spy' .* raised in build: ZeroDivisionError: division by zero"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(spied: Registry, metric: str, sentence: str) -> None:
    with pytest.raises(GanforgeError, match=sentence):
        scored(spied, pictures(50), pictures(100), metric)


def test_labels_are_asked_for_before_anything_is_computed(spied: Registry) -> None:
    data = ArrayData(DataSpec(shape=(1, 4, 4), classes=("a", "b")), pictures(9).samples, np.arange(20) % 2)
    with pytest.raises(GanforgeError, match="metric 'labelled' needs a generator that takes labels"):
        scored(spied, data, data, "labelled", "gap")
    assert calls() == []


def test_a_cache_that_cannot_be_written_costs_no_score(
    spied: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "file"))
    assert scored(spied, pictures(50), pictures(100), "gap")[0].value == pytest.approx(130 - 109.5)
    assert "features of real samples cannot be kept" in caplog.text


def test_data_that_is_read_again_from_files_is_not_kept(spied: Registry, tmp_path: Path) -> None:
    class FromFiles:
        spec, fingerprint = pictures(100).spec, "of names and times"

        def __len__(self) -> int:
            return 20

        def fetch(self, indices: np.ndarray) -> tuple[np.ndarray, None]:
            return pictures(100).samples[indices], None

    scored(spied, pictures(50), FromFiles(), "gap")  # type: ignore[arg-type]
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 1  # the floor's, which lies in memory


def test_too_few_real_ones_are_told_apart_from_too_few_generated(spied: Registry) -> None:
    with pytest.raises(GanforgeError, match="metric 'hungry' needs at least 30 real samples, not 20"):
        scored(spied, pictures(50), pictures(100), "hungry", samples=40)


def test_a_run_and_its_file_score_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    run, file = tmp_path / "run", tmp_path / "tiny.onnx"
    done(*TRAIN_TINY, "--steps", 2, "--out", run)
    done("export", run, "-o", file, *TINY)
    common = ("--samples", 24, "--metrics", "fid,prdc", "--features", "random-smoke-test", *TINY)
    of_run = json.loads(done("evaluate", run, *common, "--json").out)
    before = load(file).sample(4, seed=1)
    of_file = json.loads(done("evaluate", file, *common, "--json", "--write-card").out)
    assert [score["name"] for score in of_run] == [score["name"] for score in of_file]
    np.testing.assert_allclose([score["value"] for score in of_run], [score["value"] for score in of_file], rtol=1e-3)
    # The file carries the scores, and gives the same pictures as before.
    model = load(file)
    assert [score.model_dump() for score in model.card.scores] == of_file
    np.testing.assert_array_equal(model.sample(4, seed=1), before)
    done("evaluate", file, *common, "--write-card")
    assert len(load(file).card.scores) == len(of_file)
    # Of another seed or truncation they are others.
    done("evaluate", file, *common, "--write-card", "--truncation", 0.5)
    assert len(load(file).card.scores) == 2 * len(of_file)
    # So are those of other options: of the metric, or of the features.
    for setting in ("prdc.k=3", "features.dim=32"):
        done("evaluate", file, *common, "--write-card", "--set", setting)
    names = [score.name for score in load(file).card.scores]
    assert len(names) == 4 * len(of_file) - 1  # fid is the same with another k
    assert {"coverage_k3_random-smoke-test@24[k=3]", "fid_random-smoke-test@24[features.dim=32]"} <= set(names)


def test_writing_scores_keeps_what_else_a_file_says(tmp_path: Path) -> None:
    from ganforge.export import write_scores

    run, file, link = tmp_path / "run", tmp_path / "tiny.onnx", tmp_path / "link.onnx"
    done(*TRAIN_TINY, "--steps", 2, "--out", run)
    done("export", run, "-o", file, *TINY)
    model = onnx.load(file)
    model.metadata_props.add(key="team", value="vision")
    onnx.save(model, file)
    link.symlink_to(file)
    write_scores(link, [Score(name="one", value=1.0, provenance={})])
    assert link.is_symlink()
    assert {prop.key for prop in onnx.load(file).metadata_props} >= {"team", "ganforge.card"}
    assert [score.name for score in load(file).card.scores] == ["one"]
    with pytest.raises(ValueError, match="finite"):
        Score(name="none", value=float("nan"), provenance={})


def test_a_score_takes_the_place_of_none_but_the_same_measurement(tmp_path: Path) -> None:
    from ganforge.export import write_scores

    run, file = tmp_path / "run", tmp_path / "tiny.onnx"
    done(*TRAIN_TINY, "--steps", 2, "--out", run)
    done("export", run, "-o", file, *TINY)
    told = {"metric": "kid", "kid.subsets": 100, "extractor": "net", "features.side": 128, "weights": "a", "seed": 0}
    told |= {"preprocessing": "none", "samples": 9, "real": 9, "split": "test", "data": "d", "truncation": 0.5}
    first = Score(name="kid_net@9", value=0, provenance=told)
    others = [first.model_copy(update={"provenance": {**told, key: "another"}}) for key in told]
    card = write_scores(file, [first, *others])
    assert list(card.scores) == [first, *others]
    # With other libraries, or beside another floor, it is the same measured again.
    again = Score(name="kid_net@9", value=1, provenance={**told, "torch": "9", "net-lib": "2", "floor": 3.0})
    assert list(write_scores(file, [again]).scores) == [again, *others]


def test_a_file_knows_the_options_of_its_data(tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "ring.onnx"
    common = ("--threads", 1, "--batch-size", 8, "--set", "observers=[]", "--set", "architecture.stack=plain")
    done("train", "vanilla", "--data", "ring", "--set", "data.modes=16", "--steps", 2, *common, "--out", run)
    done("export", run, "-o", file)
    for source in (run, file):
        outcome = done("evaluate", source, "--samples", 50, "--json")
        scores = {score["name"]: score["value"] for score in json.loads(outcome.out)}
        assert scores["modes_of@50"] == 16
        assert "warning" not in outcome.err
    assert "the data is not what" in done("evaluate", file, "--samples", 50, "--set", "data.modes=9").err


def test_a_generator_of_a_folder_is_scored_on_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    noise = np.random.default_rng(0)
    for folder in ("here", "there"):
        for i in range(60):
            path = tmp_path / folder / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(noise.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
    run, file = tmp_path / "run", tmp_path / "folder.onnx"
    at = ("--data", tmp_path / "here", "--resolution", 8, "--set", "data.channels=1")
    done("train", "tiny", *at, *TRAIN_TINY[4:], "--steps", 2, "--out", run)
    done("export", run, "-o", file, *TINY)
    common = ("--samples", 2, "--metrics", "fid", "--features", "random-smoke-test", *TINY)
    done("evaluate", run, *common)
    for source in (run, file):
        done("evaluate", source, *common, "--data", tmp_path / "there")
    assert refused("evaluate", file, *common).endswith("trained on a folder of pictures: name it with --data FOLDER")
    assert str(tmp_path) not in load(file).card.model_dump_json()


def test_classes_must_mean_the_same() -> None:
    from ganforge.cli.asking import check_classes

    registry = Registry(fallback=BUILTIN)
    made, real = (DataSpec(shape=(1, 8, 8), classes=names) for names in (("cat", "dog"), ("cat", "fox", "dog")))
    check_classes(["conditional-accuracy"], made, made, registry)
    check_classes(["fid"], made, real, registry)
    with pytest.raises(GanforgeError, match="'dog' where the data has 'fox'"):
        check_classes(["conditional-accuracy"], made, real, registry)


def test_a_table_says_what_real_data_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "run"
    done(*TRAIN_TINY, "--steps", 2, "--out", run)
    common = ("--samples", 24, "--metrics", "fid", "--features", "random-smoke-test", *TINY)
    lines = done("evaluate", run, *common).out.splitlines()
    assert lines[0].split() == ["score", "value", "real", "data", "scores"]
    assert lines[1].startswith("fid_random-smoke-test@24 ")
    assert lines[-1] == "24 samples beside 24 real ones of the test split"
    copied = done("evaluate", run, *common, "--metrics", "authenticity").out.splitlines()
    assert copied[-1].startswith("authenticity: compared with all ")
    assert copied[-1].endswith(" of the train split")
    floors = [line.split()[-1] for line in done("evaluate", run, *common, "--no-floor").out.splitlines()]
    assert floors[0] == "value"  # there is no column of floors


def test_a_table_says_how_right_the_classifier_is(capsys: pytest.CaptureFixture[str]) -> None:
    told: dict[str, str | int | float] = {"samples": 9, "real": 8, "split": "train", "classifier accuracy": 0.9204}
    show([Score(name="conditional_accuracy_classifier@9", value=0.5, provenance={**told, "floor": 0.9})], False)
    assert capsys.readouterr().out.splitlines()[2:] == [
        "9 samples beside 8 real ones of the train split",
        "the classifier is right about 92.0% of real pictures that it has not seen",
    ]


def test_the_usual_metrics_need_no_more_samples_than_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    done(*TRAIN_TINY, "--steps", 2, "--out", tmp_path / "run")
    common = (tmp_path / "run", "--features", "random-smoke-test", "--samples", 24, "--json", *TINY)
    names = {score["provenance"]["metric"] for score in json.loads(done("evaluate", *common).out)}
    assert names == {"fid", "prdc"}
    few = refused("evaluate", *common, "--samples", 5)
    assert few == "no metric is usual for 5 samples: judge more of them, or say which metrics"
    sentence = refused("evaluate", *common, "--metrics", "kid")
    assert sentence.startswith("option 'kid.subset_size' of 1000 needs at least 1000 generated samples, not 24")


def test_bad_input_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "run"
    done(*TRAIN_TINY, "--steps", 2, "--out", run)
    assert refused("evaluate", tmp_path / "none", *TINY).endswith("is not a run directory: it has no config.toml")
    assert refused("evaluate", run, "--write-card", *TINY).startswith("--write-card writes into an exported file")
    assert refused("evaluate", run, "--metrics", "fdi", *TINY).startswith("unknown metric 'fdi'; did you mean 'fid'")
    assert refused("evaluate", run, "--features", "nose", *TINY).startswith("unknown extractor 'nose'")
    assert "--split takes" in refused("evaluate", run, "--split", "all", *TINY)
    assert "the samples are 8×8 grey images" in refused("evaluate", run, "--data", "ring", *TINY)
    stray = refused("evaluate", run, "--metrics", "fid", "--set", "kid.subsets=3", *TINY)
    assert stray.startswith("unknown setting 'kid' in --set; did you mean 'fid'")
    assert refused("evaluate", run, "--device", "tpu", *TINY) == "--device takes auto, cpu or cuda, not 'tpu'"
    for plain in ("kid=5", "features=classifier"):
        assert "takes settings by name" in refused("evaluate", run, "--set", plain, *TINY)
    mixed = refused("evaluate", run, "--features", "classifier", "--inception-weights", "x.pth", *TINY)
    assert mixed == "--inception-weights goes with --features inception, not classifier"
    grey = refused("evaluate", run, "--features", "inception", *TINY)
    assert grey.startswith("extractor 'inception' takes colour pictures, not 8×8 grey images")
    assert refused("evaluate", tmp_path / "none.onnx", *TINY).startswith("cannot read")


def test_scores_are_written_only_where_a_card_is(tmp_path: Path) -> None:
    from ganforge.export import write_scores

    foreign = tmp_path / "foreign.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], [])), foreign)
    content = foreign.read_bytes()
    with pytest.raises(GanforgeError, match="card"):
        write_scores(foreign, [])
    assert foreign.read_bytes() == content
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(GanforgeError, match=r"cannot read|card"):
        write_scores(tmp_path / "broken.onnx", [])
