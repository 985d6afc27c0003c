"""`ganforge compare`: rows are checked, trained once for an equal budget, and told of honestly."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import signal
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from command import ROOT, TINY, Outcome, done, ganforge, refused, start, wait_for
from observed import picture
from test_observers_report import HOSTILE, Page

from ganforge.cli.compare import commands, markdown, page, playing, running
from ganforge.cli.compare.advice import Advice, Candidate, advise
from ganforge.cli.compare.asked import Lead, Machine, choose_scoring
from ganforge.cli.compare.playing import Comparison
from ganforge.cli.compare.processes import Processes, Ran
from ganforge.cli.compare.results import Point, Spread, Standing, Trained, Verdict
from ganforge.cli.compare.rows import Common, Entry, Row, check, gather, parse_row
from ganforge.cli.compare.writing import write
from ganforge.core.card import Score
from ganforge.core.errors import GanforgeError, Interrupted
from ganforge.core.files import locked
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN

SMALL = (
    *("--data", "ring", "--set", "data.samples=200", "--set", "samples=4", "--set", "observers=[]", *TINY),
    *("--samples", "50", "--budget", "0.5s", "--device", "cpu"),
)
PER_ROUND = 0.01


class Here:
    """Commands run in this process, each round of a training said to take a hundredth of a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands: list[list[str]] = []
        self.answers: dict[str, Ran] = {"diagnose": Ran(0, 1, json.dumps({"alarms": []}))}
        self.interrupts = ""
        monkeypatch.setattr(commands, "POINTS", 2)  # each is a checkpoint, which waits for the disk
        monkeypatch.setattr(Processes, "run", lambda processes, *arguments: self.run(processes, *arguments))

    def run(self, processes: Processes, arguments: list[str], log: Path, limit: float = math.inf) -> Ran:
        self.commands.append(list(arguments))
        if "--dry-run" in arguments:
            budget = float(arguments[arguments.index("--budget") + 1].removesuffix("s"))
            return Ran(0, 1, json.dumps({"rounds": round(budget / PER_ROUND), "budget_seconds": budget}))
        if arguments[0] == self.interrupts:
            os.kill(os.getpid(), signal.SIGINT)
            assert processes.stopped.wait(60)
            raise Interrupted("stopped")
        if arguments[0] in self.answers:
            return self.answers[arguments[0]]
        outcome = ganforge(*arguments, *TINY)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(outcome.err)
        rounds = int(arguments[arguments.index("--steps") + 1]) if "--steps" in arguments else 0
        return Ran(outcome.code, 1 + PER_ROUND * rounds, outcome.out)

    def trained(self) -> list[str]:
        """The recipes and settings of trainings since last asked, measurements left out."""
        kept = [c for c in self.commands if c[0] == "train" and "--every" in c]
        self.commands = []
        return [" ".join(word for word in command if word.startswith(("tiny", "batch", "seed"))) for command in kept]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(monkeypatch)


@pytest.fixture
def small(registry: Registry) -> Registry:
    return Registry(files=[tiny.FILE], fallback=BUILTIN)


# Rows.


@pytest.mark.parametrize(
    ("text", "recipe", "settings"),
    [
        ("dcgan", "dcgan", ()),
        ("dcgan:generator.lr=1e-4", "dcgan", ("generator.lr=1e-4",)),
        ("a:x=[0.0,0.9],y=2", "a", ("x=[0.0,0.9]", "y=2")),
        ("a:x=[[1,2],[3,4]],y={a=1,b=2}", "a", ("x=[[1,2],[3,4]]", "y={a=1,b=2}")),
        ('a:x="b,c",y=":"', "a", ('x="b,c"', 'y=":"')),
    ],
)
def test_a_row_is_a_recipe_and_settings(text: str, recipe: str, settings: tuple[str, ...]) -> None:
    row = parse_row(text)
    assert (row.recipe, row.settings, row.title) == (recipe, settings, text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("dcgan:lr", "a row is RECIPE or RECIPE:KEY=VALUE,KEY=VALUE, not 'dcgan:lr'"),
        ("dcgan:", "a row is RECIPE or RECIPE:KEY=VALUE,KEY=VALUE, not 'dcgan:'"),
        (":a=1", "a row is RECIPE or RECIPE:KEY=VALUE,KEY=VALUE, not ':a=1'"),
        ("a:x=[1,2", "row 'a:x=[1,2': a '[' is not closed"),
        ("a:x=1],y=2", "row 'a:x=1],y=2': a ']' closes nothing"),
        ('a:x="b', "row 'a:x=\"b': a '\"' is not closed"),
    ],
)
def test_what_is_no_row(text: str, sentence: str) -> None:
    with pytest.raises(GanforgeError, match=re.escape(sentence)):
        parse_row(text)


def test_rows_of_a_file_come_after_those_of_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.toml"
    file.write_text('[[row]]\nrecipe = "b"\nsettings = ["x=[1,2]"]\nname = "my b"\n[[row]]\nrecipe = "c"\n')
    rows = gather(["a"], file)
    assert [(row.title, row.slug) for row in rows] == [("a", "a"), ("my b", "my_b"), ("c", "c")]
    file.write_text('[[row]]\nrecipe = "b"\nsetings = []\n')
    with pytest.raises(GanforgeError, match=r"unknown option '.*rows.toml: row 1.setings'; did you mean 'settings'"):
        gather([], file)
    file.write_text('recipe = "b"\n')
    with pytest.raises(GanforgeError, match="is no file of rows: it has a table"):
        gather([], file)


def test_a_rows_files_are_named_safely() -> None:
    assert Row(recipe="a", name="../../etc").slug == "etc"
    assert Row(recipe="a", name="…").slug == "row"
    assert len(Row(recipe="a", name="x" * 300).slug) < 100


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "a comparison needs rows: name recipes, or a file of rows with --rows"),
        (["tiny", "tny"], "row 'tny': unknown recipe 'tny'; did you mean 'tiny'?"),
        (
            ["tiny", "tiny:generator.lrr=1"],
            "row 'tiny:generator.lrr=1': unknown option 'generator.lrr'; did you mean 'lr'",
        ),
        (
            ["tiny", "tiny:steps=3"],
            "row 'tiny:steps=3': setting 'steps' follows --budget in a comparison: leave it out",
        ),
        (["tiny:seed=3"], "row 'tiny:seed=3': setting 'seed' follows --seeds in a comparison: leave it out"),
        (["tiny", "tiny"], "two rows are kept under the name 'tiny': give one another name in a file for --rows"),
        (["tiny", "tiny:data.modes=3"], "row 'tiny:data.modes=3': it trains on other data than 'tiny'"),
        (["tiny", "--budget", "10"], "--budget takes a time, as in 90s, 10m or 1h, not '10'"),
        (["tiny", "--budget", "0m"], "--budget takes a time, as in 90s, 10m or 1h, not '0m'"),
        (["tiny", "--data", "rang"], "row 'tiny': unknown dataset 'rang'; did you mean 'ring'"),
        (["tiny", "--metrics", "authenticity"], "--metrics needs one that rows can be sorted by: "),
        (["tiny", "--metrics", "fidd"], "unknown metric 'fidd'; did you mean 'fid'"),
        (["tiny", "--features", "efficient"], "unknown extractor 'efficient'; did you mean 'efficientnet-lite0'"),
        (["tiny", "--out", "a-file"], "a-file is a file; give --out a folder"),
        (
            ["tiny", "--out", "."],
            ". holds no comparison; give --out a new folder, or that of a comparison to go on with",
        ),
        (["tiny:batch_size=0"], "row 'tiny:batch_size=0': option 'batch_size': "),
        (["wgan-gp", "dcgan"], "row 'dcgan': "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_everything_is_checked_before_anything_is_written(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-file").touch()
    assert sentence in refused("compare", *SMALL, "--out", "new", *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


def test_a_comparison_needs_a_folder_and_data(tmp_path: Path) -> None:
    assert refused("compare", "tiny", *TINY) == "a comparison needs a folder: give it with --out"
    sentence = refused("compare", "tiny", "--out", tmp_path / "new", *TINY)
    assert sentence == "row 'tiny': a training needs data: name a data set or a folder of pictures"


def test_translations_are_not_compared(tmp_path: Path) -> None:
    narrow = ("--set", "architecture.width=4", "--set", "architecture.blocks=1")
    sentence = refused(
        "compare", "cyclegan", "--data", "negatives", *narrow, "--budget", "1s", "--out", tmp_path / "new"
    )
    assert sentence.startswith("row 'cyclegan': recipe 'cyclegan' translates pictures")
    assert not (tmp_path / "new").exists()


def test_the_commands_of_the_docs_are_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    pages = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/compare.md")]
    asked: list[Comparison] = []

    def run(comparison: Comparison) -> None:
        asked.append(comparison)
        raise Interrupted("everything was checked")

    monkeypatch.setattr(running, "run", run)
    monkeypatch.chdir(tmp_path)
    (file,) = re.findall(r"```toml\n(# rows.toml\n.*?)```", pages[1], re.DOTALL)
    Path("rows.toml").write_text(file)
    Path("benchmarks").symlink_to(ROOT / "benchmarks")
    texts = [page.replace("\\\n", "").replace("--data fashion-mnist", "--data digits") for page in pages]
    lines = [line for text in texts for line in text.splitlines() if line.startswith("ganforge compare ")]
    for line in lines:
        assert ganforge(*shlex.split(line)[1:]).err == "everything was checked\n"
    *few, garments = [[entry.row.recipe for entry in comparison.entries] for comparison in asked]
    assert [len(rows) for rows in few] == [3, 3, 3, 3, 2, 2]
    # The others translate, or learn what another recipe's generator makes.
    others = {"cyclegan", "pix2pix", "srgan", "encoder", "f-anogan"}
    assert sorted(garments) == sorted(registry.all("recipe").keys() - others)


# Training.


def compare(out: Path, *arguments: object, seeds: int = 2) -> Outcome:
    return done("compare", *SMALL, "--seeds", seeds, "--out", out, *arguments)


def test_each_row_is_trained_once_with_every_seed_and_again_only_where_it_changed(here: Here, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = compare(out, "tiny", "tiny:batch_size=8")
    assert here.trained() == ["tiny", "tiny batch_size=8"] * 2
    assert "[4/4] tiny:batch_size=8, seed 1, is healthy" in outcome.err
    assert "Take tiny" in outcome.out or "Too close to call" in outcome.out
    record = json.loads((out / "compare.json").read_text())
    assert record["missing"] == ""
    assert {row["name"] for row in record["rows"]} == {"tiny", "tiny:batch_size=8"}
    for row in record["rows"]:
        assert [one["rounds"] for one in row["trainings"]] == [50, 50]  # half a second, at a hundredth for each
        assert {"modes", "high_quality", "reverse_kl"} <= row["figures"].keys()
        assert all((out / row["files"] / one["picture"]).is_file() for one in row["trainings"])

    assert json.loads(compare(out, "tiny", "tiny:batch_size=8", "--json").out)["rows"] == record["rows"]
    assert here.commands == []
    compare(out, "tiny", "tiny:batch_size=16")
    assert here.trained() == ["tiny batch_size=16"] * 2
    compare(out, "tiny", "--samples", 40, seeds=1)
    assert here.trained() == ["tiny"]


def test_a_row_of_a_file_may_have_seeds_of_its_own(here: Here, tmp_path: Path) -> None:
    rows = tmp_path / "rows.toml"
    rows.write_text('[[row]]\nrecipe = "tiny"\n[[row]]\nrecipe = "tiny"\nname = "again"\nseeds = 2\n')
    compare(tmp_path / "out", "--rows", rows, seeds=1)
    assert len(here.trained()) == 3
    record = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert {row["name"]: len(row["trainings"]) for row in record["rows"]} == {"tiny": 1, "again": 2}
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "1 to 2 seeds" in text
    assert "the median over a row's seeds, with its range." in text
    assert "±" not in text


def test_a_damaged_result_is_made_again_from_its_run(here: Here, tmp_path: Path) -> None:
    compare(tmp_path / "out", "tiny", seeds=1)
    file = tmp_path / "out" / "rows" / "tiny" / "seed-0.json"
    whole = file.read_text()
    file.write_text(whole[:200])
    here.commands = []
    compare(tmp_path / "out", "tiny", seeds=1)
    assert [command[0] for command in here.commands] == ["resume", "diagnose", "evaluate", "sample"]
    assert json.loads(file.read_text())["scores"] == json.loads(whole)["scores"]


def test_diagnosis_and_curve_are_those_of_the_run(here: Here, tmp_path: Path) -> None:
    here.answers = {}
    out = tmp_path / "out"
    compare(out, "tiny", "--set", "observers.scores.every=25", seeds=1)
    (trained,) = json.loads((out / "compare.json").read_text())["rows"][0]["trainings"]
    assert trained["verdict"] in ("healthy", "suspicious", "failed")
    assert trained["curve"][-1][0] == pytest.approx(trained["minutes"])
    assert len(trained["curve"]) == 2


def test_the_commands_it_tells_make_the_same_run_and_scores(here: Here, tmp_path: Path, monkeypatch: Any) -> None:
    out = tmp_path / "out"
    compare(out, "tiny", seeds=1)
    (trained,) = json.loads((out / "compare.json").read_text())["rows"][0]["trainings"]
    train, evaluate = map(shlex.split, trained["commands"])
    monkeypatch.chdir(tmp_path)
    done(*train[1:])
    scores = json.loads(done(*evaluate[1:], "--json").out)
    assert [(s["name"], s["value"]) for s in scores] == [(s["name"], s["value"]) for s in trained["scores"]]


def test_without_runs_to_keep_only_scores_and_pictures_stay(here: Here, tmp_path: Path) -> None:
    compare(tmp_path / "out", "tiny", "--no-keep-runs", seeds=1)
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    rows = {"rows/tiny/rounds.json", "rows/tiny/seed-0.json", "rows/tiny/seed-0.png"}
    assert files == {"compare.json", "compare.md", "compare.html", *rows}


def test_a_row_that_diverges_is_told_of_and_the_others_go_on(here: Here, tmp_path: Path) -> None:
    out, bad = tmp_path / "out", "tiny:discriminator.lr=1e38"
    outcome = compare(out, bad, "tiny", seeds=1)
    assert "Take tiny" in outcome.out
    assert f"Failed: {bad}." in outcome.out
    row = json.loads((out / "compare.json").read_text())["rows"][1]
    assert (row["name"], row["verdict"]) == (bad, "failed")
    assert row["trainings"][0]["reason"].startswith("training stopped in round ")
    assert "not finite" in row["trainings"][0]["reason"]
    here.commands = []
    compare(out, bad, "tiny", seeds=1)
    assert here.commands == []


def test_what_a_second_try_may_mend_is_tried_again(here: Here, tmp_path: Path) -> None:
    out = tmp_path / "out"
    here.answers["evaluate"] = Ran(2, 1, "")
    assert "Every row failed: tiny. There is none to take." in compare(out, "tiny", seeds=1).out
    assert not (out / "rows" / "tiny" / "seed-0.json").exists()
    del here.answers["evaluate"]
    here.commands = []
    assert "Take tiny" in compare(out, "tiny", seeds=1).out
    assert [command[0] for command in here.commands] == ["resume", "diagnose", "evaluate", "sample"]


def test_ctrl_c_says_how_to_go_on(here: Here, tmp_path: Path) -> None:
    here.interrupts = "evaluate"
    outcome = ganforge("compare", *SMALL, "--out", tmp_path / "out", "tiny")
    assert outcome.code == 130
    assert outcome.err.splitlines()[-1] == f"stopped; the same command goes on with {tmp_path / 'out'}"
    here.interrupts, here.commands = "", []
    compare(tmp_path / "out", "tiny", seeds=1)
    assert [command[0] for command in here.commands] == ["resume", "diagnose", "evaluate", "sample"]


def test_a_killed_comparison_goes_on_where_its_training_was(here: Here, tmp_path: Path) -> None:
    out, arguments = tmp_path / "out", (*SMALL, "--budget", "15s", "tiny")
    here.interrupts = "train"
    assert ganforge("compare", *arguments, "--out", out).code == 130
    run = out / "runs" / "tiny-seed-0"
    process = start("compare", *arguments, "--out", out)
    wait_for(lambda: list((run / "checkpoints").glob("step-*")), process)
    (child,) = children(process.pid)
    process.kill()
    os.kill(child, signal.SIGKILL)
    process.communicate(timeout=120)
    assert not (out / "rows" / "tiny" / "seed-0.json").exists()

    here.interrupts, here.commands = "", []
    done("compare", *arguments, "--out", out)
    assert here.commands[0] == ["resume", str(run)]
    (trained,) = json.loads((out / "compare.json").read_text())["rows"][0]["trainings"]
    assert trained["rounds"] == 1500


def test_an_orphans_training_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playing, "LOOK_AGAIN", 0.01)
    told: list[str] = []
    with ExitStack() as orphan:
        orphan.enter_context(locked(tmp_path))

        def tell(what: str) -> None:
            told.append(what)
            orphan.close()

        playing._wait_for_orphan(tmp_path, Processes((), 1), tell)
    assert len(told) == 1
    assert "left in" in told[0]


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def test_rounds_that_take_longer_to_time_than_the_budget_say_so(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Processes, "run", lambda _, arguments, log, limit: Ran(-9, limit + 1, ""))
    with pytest.raises(playing.RowFailed, match="timing its rounds takes longer than its budget: set a smaller"):
        playing.measure(comparison, comparison.entries[0], Processes((), 1))


def entry_of(comparison: Comparison, **changes: Any) -> Entry:
    return replace(comparison.entries[0], **changes)


# What is asked of the other commands.


@pytest.fixture
def comparison(tmp_path: Path, small: Registry) -> Comparison:
    """A comparison of one row on pictures of three classes, at the point where it would begin to train."""
    return comparison_of(tmp_path, small, "tiny")


def comparison_of(out: Path, registry: Registry, *rows: str, **options: Any) -> Comparison:
    data = {"name": "tiny-pictures", "resolution": None, "root": None, "download": None}
    flags = {"data": data, "machine": {"device": "cpu", "precision": None, "threads": 1}}
    settings = ("data.classes=3", "data.n=1200", "generator.conditioning=embedding")
    common = Common(flags, settings)
    entries = tuple(check(Row(recipe="tiny", name=name), common, registry) for name in rows)
    scoring = choose_scoring(None, "random-smoke-test", None, entries, registry)
    machine = Machine("cpu", 1, 1)
    return Comparison(out, entries, common, scoring, 600, 1, machine, (), True, **options)


def test_a_labelled_row_is_judged_by_a_classifier_too(comparison: Comparison) -> None:
    (entry,) = comparison.entries
    first, second = commands.evaluate(Path("run"), entry, comparison.scoring)
    assert first[:4] == ["evaluate", "run", "--samples", "1200"]
    assert first[first.index("--metrics") + 1] == "kid,fid,prdc"
    assert second[-6:] == ["--metrics", "conditional-accuracy", "--features", "classifier", "--split", "train"]
    assert commands.sample(Path("run"), entry, Path("a.png"))[2:4] == ["--n", "60"]


def test_scores_on_the_way_are_as_many_in_every_row(comparison: Comparison) -> None:
    for rounds in (1000, 12_340):
        flags = commands.watching(rounds, comparison.scoring)
        assert flags[flags.index("--evaluate-every") + 1] == str(rounds // commands.POINTS)
        assert 'observers.scores.metrics=["kid"]' in flags
        assert "observers.scores.samples=1000" in flags
        assert "observers.scores.features=random-smoke-test" in flags


def test_the_curve_is_read_from_the_records(comparison: Comparison) -> None:
    names = ("score/kid_random-smoke-test@1k", "score/kid_std_random-smoke-test@1k", "loss/generator")
    timed = ((5, 60), (10, 120), (15, 300))  # rounds that cost more and more, on a machine that is busy
    records = [{"round": r, "seconds": 3 * s, "cpu_seconds": s, **dict.fromkeys(names, r / 10)} for r, s in timed]
    told = playing.curve(records, comparison.machine, comparison.scoring)
    assert list(told) == [Point(1, 0.5), Point(3, 1), Point(8, 1.5)]
    told = playing.curve(records, Machine("cuda", 1, 1), comparison.scoring)
    assert list(told) == [Point(3, 0.5), Point(9, 1), Point(24, 1.5)]


@pytest.mark.parametrize(("code", "verdict"), [(0, "healthy"), (3, "suspicious"), (4, "failed")])
def test_a_diagnosis(here: Here, tmp_path: Path, code: int, verdict: str) -> None:
    here.answers["diagnose"] = Ran(code, 1, json.dumps({"verdict": verdict, "alarms": [{"round": 1}]}))
    found = playing.diagnose(tmp_path, Processes((), 1), tmp_path / "log")
    assert found == (verdict, ({"round": 1},))


# Advice.


def row(title: str, *values: float, verdict: Verdict = "healthy", std: float = 0.0, **more: Any) -> Candidate:
    lead = Spread(sorted(values)[len(values) // 2], min(values), max(values)) if values else None
    return Candidate(title, verdict, lead, std, seeds=max(1, len(values)), **more)


LOWER, HIGHER = Lead("kid", "lower"), Lead("high_quality", "higher", first="modes")


@pytest.mark.parametrize(
    ("rows", "lead", "take", "close"),
    [
        ([row("a", 2, 2.1, 2.2), row("b", 1, 1.1, 1.2)], LOWER, "b", ()),
        ([row("a", 1, 1.1, 1.2), row("b", 1.15, 1.3, 1.4)], LOWER, "a", ("b",)),
        ([row("a", 1, 1.1, 1.3), row("b", 1.2), row("c", 1.4)], LOWER, "a", ("b",)),
        ([row("a", 1, std=0.2), row("b", 1.1, std=0.1)], LOWER, "a", ("b",)),
        ([row("a", 1, std=0.2), row("b", 1.1, std=0.1), row("c", 9)], LOWER, "a", ("b",)),
        ([row("a", 1), row("b", 1.1)], LOWER, "a", ()),
        ([row("a", 0.5), row("b", 0.9)], HIGHER, "b", ()),
        ([row("a", 0.9, first=7), row("b", 0.5, first=8)], HIGHER, "b", ()),
        ([row("a", 1, verdict="failed"), row("b", 2)], LOWER, "b", ()),
        ([row("a", verdict="failed"), row("b", verdict="failed")], LOWER, None, ()),
        ([row("a", 1, verdict="failed"), row("b", 2, verdict="failed")], LOWER, None, ()),
        ([row("a", 1, verdict="suspicious"), row("b", 2)], LOWER, "a", ()),
        ([row("a", 1, std=1, verdict="suspicious"), row("b", 1.5)], LOWER, "b", ("a",)),
        ([row("a", 1)], LOWER, "a", ()),
        ([], LOWER, None, ()),
    ],
)
def test_which_row_to_take(rows: list[Candidate], lead: Lead, take: str | None, close: tuple[str, ...]) -> None:
    advice = advise(rows, lead)
    assert (advice.take, advice.close) == (take, close)
    assert ("Too close to call" in advice.words) == bool(close)


def test_advice_gives_its_evidence() -> None:
    rows = [row("a", 0.02, 0.021, 0.022), row("b", 0.01, 0.011, 0.012, besides="coverage 0.5")]
    assert advise(rows, LOWER).words == (
        "Take b: its KID of 0.011 (median of 3 seeds, 0.01 to 0.012) is the lowest; beyond the range of the next, a "
        "with 0.021 (median of 3 seeds, 0.02 to 0.022). Coverage 0.5; diagnose: healthy."
    )
    rows = [row("a", 1, std=0.2), row("b", 1.1, std=0.1, verdict="failed")]
    assert advise(rows, LOWER).words == (
        "Take a: no other row has a score and did not fail. Its KID is 1 ± 0.2. Diagnose: healthy. Failed: b."
    )
    rows = [row("a", 1, std=0.2, besides="coverage 0.5"), row("b", 1.1, besides="coverage 0.7"), row("c", 9)]
    assert "Coverage 0.5 (b: coverage 0.7); diagnose: healthy." in advise(rows, LOWER).words
    assert "One seed tells nothing of chance" in advise([row("a", 1), row("b", 2)], LOWER).words
    assert advise([row("a", verdict="failed")], LOWER).words == "Every row failed: a. There is none to take."


# Pages.


def score(name: str, value: float, **provenance: Any) -> Score:
    return Score(name=f"{name}_net@1k", value=value, provenance={"extractor": "net", "metric": "kid", **provenance})


def results(comparison: Comparison) -> dict[tuple[str, int], Trained]:
    """Made-up trainings of every row, with pictures on disk."""
    found = {}
    for number, entry in enumerate(comparison.entries):
        file = picture(comparison.row(entry), 0)
        file.parent.mkdir(parents=True, exist_ok=True)
        alarm = {"round": 3, "kind": "k", "about": "d", "message": f"{HOSTILE} was seen.", "advice": f"--set {HOSTILE}"}
        found[entry.row.slug, 0] = Trained(
            digest="",
            seed=0,
            verdict="suspicious",
            alarms=(alarm,),
            rounds=1000,
            minutes=9.5,
            images_per_second=100,
            scores=(score("kid", 0.1 + number, floor=0.001), score("kid_std", 0.01), score("recall_k5", 0.5)),
            curve=(Point(1, 3 + number), Point(9.5, 1 + number)),
            picture="samples/000000.png",
            commands=("ganforge train tiny --out 'a b'",),
        )
    return found


def test_the_page_is_self_contained_and_its_words_are_only_words(tmp_path: Path, small: Registry) -> None:
    comparison = comparison_of(tmp_path, small, HOSTILE, *(f"row {n}" for n in range(7)))
    write(comparison, results(comparison))
    text = (tmp_path / "compare.html").read_text(encoding="utf-8")
    html = Page(text)
    sources = [a[name] for _, a in html.elements for name in ("src", "href", "srcset", "action") if name in a]
    assert len(sources) == 1 + 8
    assert all(source.startswith("data:") for source in sources)
    assert "http" not in text.replace("http-equiv", "")
    assert html.all("script") == []
    assert "<script>alert" not in text
    assert html.text().count(HOSTILE) >= 4


def test_the_page_has_the_table_the_curves_and_the_commands(tmp_path: Path, small: Registry) -> None:
    comparison = comparison_of(tmp_path, small, *(f"row {n}" for n in range(7)))
    write(comparison, results(comparison))
    html = Page((tmp_path / "compare.html").read_text(encoding="utf-8"))
    text = " ".join(html.text().split())
    assert "Which GAN for tiny-pictures?" in text
    assert "7 rows on 1,200 8×8 grey images, 10 CPU minutes for each training, 1 seed, 1,200 samples judged" in text
    assert "Take row 0: its KID of 0.1 ± 0.01 is the lowest; the next is row 1 with 1.1 ± 0.01. Recall 0.5;" in text
    headings = [data for inside, data in html.texts if inside == "th"][:8]
    assert headings == ["row", "verdict", "KID", "recall", "rounds", "CPU minutes", "images/s", "parameters"]
    assert [data for inside, data in html.texts if inside == "th"][8:10] == ["real data", "row 0"]
    assert len(html.all("svg")) == 2
    assert "KID, places from 7" in text
    assert "ganforge train tiny --out 'a b'" in text
    assert "It came" not in text


@pytest.mark.parametrize(("floor", "beside"), [(0.05, False), (0.0, True), (-0.001, True)])
def test_real_data_of_no_more_than_zero_is_told_beside_the_curves(
    floor: float, beside: bool, tmp_path: Path, small: Registry
) -> None:
    comparison = comparison_of(tmp_path, small, "a")
    (one,) = results(comparison).values()
    standing = Standing(
        "a", "a", "tiny", (), 1000, (one.model_copy(update={"scores": (score("kid", 0.1, floor=floor),)}),)
    )
    (chart,) = page.charts(comparison, [standing])
    assert [mark.low for mark in chart.marks] == ([] if beside else [floor])
    assert (f"lower is better; real data: {floor:g}." in chart.note) == beside


def test_the_page_tells_seeds_apart(tmp_path: Path, small: Registry) -> None:
    comparison = replace(comparison_of(tmp_path, small, "a"), seeds=2)
    (one,) = results(comparison).values()
    scores = [(score("kid", value), score("kid_std", 0.01)) for value in (0.1, 0.3)]
    seeds = [one.model_copy(update={"seed": seed, "scores": scores[seed]}) for seed in range(2)]
    write(comparison, {("a", one.seed): one for one in seeds})
    text = " ".join(Page((tmp_path / "compare.html").read_text(encoding="utf-8")).text().split())
    assert "1,000 rounds in 9.5 CPU minutes, 2 seeds." in text
    assert text.count("Seed 0, suspicious:") == text.count("Seed 1, suspicious:") == 1
    assert "It came" not in text
    assert "the median over a row's seeds" in text
    assert "±" not in text


def test_the_markdown_links_the_pictures(tmp_path: Path, small: Registry) -> None:
    comparison = comparison_of(tmp_path, small, "a|b", "c")
    write(comparison, results(comparison))
    text = (tmp_path / "compare.md").read_text(encoding="utf-8")
    assert "| row | verdict | KID | recall | rounds | CPU minutes | images/s | parameters |" in text
    assert "| real data |  | 0.001 |" in text
    assert "| `a\\|b` | suspicious | 0.1 ± 0.01 | 0.5 | 1,000 | 9.5 | 100 |" in text
    assert "What stands behind ± is the deviation that the metric itself gives." in text
    for line in text.splitlines():
        if line.startswith("!["):
            assert (tmp_path / line.partition("](")[2].rstrip(")")).is_file()
    assert "    ganforge train tiny --out 'a b'" in text


def test_markdown_has_nothing_of_a_names_own() -> None:
    assert markdown.plain("<b>*x*</b>") == "\\<b\\>\\*x\\*\\</b\\>"
    assert markdown.code("a`b|c") == "`a'b\\|c`"


def test_a_comparison_under_way_says_what_is_missing(tmp_path: Path, small: Registry) -> None:
    comparison = comparison_of(tmp_path, small, "a", "b")
    found = results(comparison)
    write(comparison, {key: trained for key, trained in found.items() if key[0] == "a"})
    assert "Not trained yet: b." in (tmp_path / "compare.md").read_text()
    written = write(comparison, {})
    assert written.advice == Advice(None, (), "Nothing has been trained yet.")


def test_the_worst_seed_is_the_rows_verdict(tmp_path: Path, small: Registry) -> None:
    trained = tuple(
        Trained(digest="", seed=n, verdict=verdict, scores=(score("kid", n),), curve=(Point(1, n), Point(2, n)))
        for n, verdict in enumerate(("healthy", "failed", "healthy"))
    )
    standing = Standing("a", "a", "tiny", (), 1000, trained)
    assert standing.verdict == "failed"
    assert standing.spread("kid") == Spread(1, 0, 2)
    assert page._curve(trained) == [Point(1, 1), Point(2, 1)]


def test_a_figure_that_leads_stands_once_in_the_table(tmp_path: Path, small: Registry) -> None:
    comparison = comparison_of(tmp_path, small, "a")
    scoring = replace(comparison.scoring, leader="prdc", lead=Lead("recall", "higher"))
    write(replace(comparison, scoring=scoring), results(comparison))
    text = (tmp_path / "compare.md").read_text(encoding="utf-8")
    assert "| row | verdict | recall | KID | rounds |" in text
    assert "| `a` | suspicious | 0.5 | 0.1 ± 0.01 |" in text
