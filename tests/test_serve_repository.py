"""Models from files and folders: names, versions, reloading, and files that must never be served."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
from served import toy_model

from ganforge.core import GanforgeError
from ganforge.core.card import CARD_KEY
from ganforge.serve.errors import Refused
from ganforge.serve.limits import Limits
from ganforge.serve.repository import Repository, find


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_model(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_model(tmp_path_factory.mktemp("labelled"), recipe="toy-labelled", kind="labelled")


def put(source: Path, *targets: Path) -> None:
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def repository(*paths: Path, **limits: Any) -> Repository:
    return Repository(paths, Limits(**limits), device="cpu")


def states(repository: Repository) -> dict[str, str]:
    return {f"{one['name']}/{one['version']}": one["state"] for one in repository.index()}


def refusal(*paths: Path, **limits: Any) -> str:
    with pytest.raises(GanforgeError) as caught:
        repository(*paths, **limits)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_and_folders(source: Path, tmp_path: Path) -> None:
    put(
        source,
        tmp_path / "a.onnx",
        tmp_path / "m/b.onnx",
        tmp_path / "m/c/2/model.onnx",
        tmp_path / "m/c/10/model.onnx",
    )
    put(source, tmp_path / "m/c/latest/model.onnx", tmp_path / "m/c/3/other.onnx")  # neither is a version
    models = repository(tmp_path / "a.onnx", tmp_path / "m")
    for hidden in ("m/.tmp-x.onnx", "m/.tmp-c/1/model.onnx", "m/c/.old-2/model.onnx"):  # as an export leaves them
        put(source, tmp_path / hidden)
    models = repository(tmp_path / "a.onnx", tmp_path / "m")
    assert states(models) == dict.fromkeys(["a/1", "b/1", "c/2", "c/10"], "READY")
    assert models.get("c").version == "10"
    assert models.get("c", "2").version == "2"


def test_one_name_twice(source: Path, tmp_path: Path) -> None:
    put(source, tmp_path / "a.onnx", tmp_path / "m/a/1/model.onnx")
    with pytest.raises(GanforgeError, match=r"a\.onnx and .*model\.onnx are both version 1 of model 'a'; rename one$"):
        find([tmp_path / "a.onnx", tmp_path / "m"])


def test_nothing_to_serve(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith("there is no model to serve in ")
    assert refusal(tmp_path / "no.onnx").endswith("no.onnx: No such file or directory")


def test_a_broken_file_in_a_folder_is_left_out(source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(source, tmp_path / "good.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"GIF89a")
    models = repository(tmp_path)
    assert states(models) == {"bad/1": "UNAVAILABLE", "good/1": "READY"}
    assert "bad.onnx is not a whole ONNX model" in models.index()[0]["reason"]
    assert "bad.onnx is not a whole ONNX model" in caplog.text
    with pytest.raises(GanforgeError, match="is not a whole ONNX model"):
        repository(tmp_path / "bad.onnx")  # one that was named must be there


def test_loading_again(source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(source, tmp_path / "a/1/model.onnx", tmp_path / "b.onnx")
    models = repository(tmp_path)
    old = models.get("a")

    async def scene() -> None:
        put(source, tmp_path / "a/2/model.onnx", tmp_path / "c.onnx")
        (tmp_path / "b.onnx").unlink()
        await models.reload()
        assert states(models) == {"a/1": "READY", "a/2": "READY", "b/1": "UNAVAILABLE", "c/1": "READY"}
        assert models.get("a", "1") is not old
        assert models.get("a", "1").batcher.stats is old.batcher.stats
        good = models.get("c")
        (tmp_path / "c.onnx").write_bytes(b"half")
        caplog.set_level(logging.ERROR)
        await models.reload()
        assert models.get("c") is good
        assert "c stays as it was: " in caplog.text
        with pytest.raises(GanforgeError, match="is not a whole ONNX model"):
            await models.load("c")
        assert models.get("c") is good
        await models.unload("c")
        with pytest.raises(Refused, match=r"^unknown model 'c'"):
            models.get("c")

    asyncio.run(scene())


def test_a_folder_that_is_absent_for_a_moment(source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(source, tmp_path / "m/a.onnx", tmp_path / "b.onnx")
    models = repository(tmp_path / "m", tmp_path / "b.onnx")
    (tmp_path / "m").rename(tmp_path / "away")
    asyncio.run(models.reload())
    assert states(models) == {"a/1": "READY", "b/1": "READY"}
    assert f"nothing was loaded again: cannot read {tmp_path / 'm'}: No such file or directory" in caplog.text


def test_a_client_that_unloads_while_all_is_loaded_again(source: Path, tmp_path: Path) -> None:
    put(source, tmp_path / "a.onnx", tmp_path / "b.onnx")
    models = repository(tmp_path)

    async def scene() -> None:
        (tmp_path / "b.onnx").unlink()
        await asyncio.gather(models.reload(), models.unload("b"))
        assert [one.name for one in models.loaded()] == ["a"]

    asyncio.run(scene())


# Files that must never be served.


def recarded(source: Path, target: Path, **changes: Any) -> Path:
    """A copy whose card says something else."""
    model = onnx.load(source)
    card = json.loads({entry.key: entry.value for entry in model.metadata_props}[CARD_KEY])
    onnx.helper.set_model_props(model, {CARD_KEY: json.dumps(card | changes)})
    onnx.save(model, target)
    return target


def test_a_file_of_zeros(tmp_path: Path) -> None:
    for size in (0, 4096, 2**31):
        with (tmp_path / "zeros.onnx").open("wb") as file:
            file.truncate(size)  # sparse: it takes no room
        sentence = refusal(tmp_path / "zeros.onnx")
        assert "is not a whole ONNX model" in sentence or sentence.endswith("more than an ONNX model can have")


def test_a_file_cut_short(source: Path, tmp_path: Path) -> None:
    whole = source.read_bytes()
    for part in (1, 10, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.onnx").write_bytes(whole[:part])
        assert "cut.onnx " in refusal(tmp_path / "cut.onnx")


def test_a_card_that_names_classes_the_graph_has_not(labelled: Path, tmp_path: Path) -> None:
    card = json.loads({one.key: one.value for one in onnx.load(labelled).metadata_props}[CARD_KEY])
    lying = recarded(labelled, tmp_path / "m.onnx", data={**card["data"], "classes": list("abcdefgh")})
    assert "m.onnx cannot be run on a batch of " in refusal(lying)


def with_places(source: Path) -> tuple[onnx.ModelProto, str]:
    """A graph whose output is called "all" now, and what it was called; with "places", a tensor [1, 1] of which the
    graph's own checks do not know how large it will be."""
    model = onnx.load(source)
    output = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["all" if name == output else name for name in node.output]
    model.graph.initializer.append(onnx.helper.make_tensor("one", onnx.TensorProto.INT64, [1], [1]))
    model.graph.node.append(onnx.helper.make_node("NonZero", ["one"], ["places"]))
    return model, output


def test_a_graph_with_a_batch_of_its_own(source: Path, tmp_path: Path) -> None:
    """One whose output has the card's shape and a single sample, whatever is asked for."""
    model, output = with_places(source)
    model.graph.initializer.append(onnx.helper.make_tensor("axes", onnx.TensorProto.INT64, [1], [0]))
    model.graph.node.append(onnx.helper.make_node("Squeeze", ["places", "axes"], ["first"]))
    model.graph.node.append(onnx.helper.make_node("Gather", ["all", "first"], [output], axis=0))
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "other"
    onnx.save(model, tmp_path / "m.onnx")
    assert refusal(tmp_path / "m.onnx").endswith("gives [1, 3, 8, 8], and its graph says [2, 3, 8, 8]")


def test_a_graph_whose_output_has_another_rank(source: Path, tmp_path: Path) -> None:
    model, output = with_places(source)
    model.graph.initializer.append(onnx.helper.make_tensor("first", onnx.TensorProto.INT64, [1], [0]))
    model.graph.node.append(onnx.helper.make_node("Sub", ["first", "first"], ["zero"]))
    model.graph.node.append(onnx.helper.make_node("Gather", ["places", "zero"], ["axis"]))
    model.graph.node.append(onnx.helper.make_node("Squeeze", ["axis", "first"], ["axes"]))
    model.graph.node.append(onnx.helper.make_node("Unsqueeze", ["all", "axes"], [output]))
    onnx.save(model, tmp_path / "m.onnx")
    assert "m.onnx gives [1, 1, 3, 8, 8], and its graph says [1, 3, 8, 8]" in refusal(tmp_path / "m.onnx")


def test_a_graph_without_inputs(source: Path, tmp_path: Path) -> None:
    model = onnx.load(source)
    given = model.graph.input.pop()
    model.graph.initializer.append(onnx.helper.make_tensor(given.name, onnx.TensorProto.FLOAT, [1, 6], [0.0] * 6))
    onnx.save(model, tmp_path / "bare.onnx")
    assert "m.onnx " in refusal(recarded(tmp_path / "bare.onnx", tmp_path / "m.onnx", inputs=[]))


def test_whatever_goes_wrong_with_a_file_is_one_sentence(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganforge.serve.repository.load", lambda *_, **__: next(iter(())))
    assert refusal(source).endswith("toy.onnx cannot be served: StopIteration")


def test_pictures_larger_than_the_limit(source: Path) -> None:
    assert refusal(source, max_pixels=63).endswith("makes pictures of 8×8; the limit is 63 pixels")
