"""The server's application without a socket: pictures, access, limits, figures, and who is told what."""

from __future__ import annotations

import asyncio
import io
import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from export_toys import toy_run
from PIL import Image
from served import app_of, ask, gated, one, toy_model

from ganforge.core import GanforgeError
from ganforge.core.card import Input
from ganforge.core.pictures import grid
from ganforge.export import export
from ganforge.serve import Model, load
from ganforge.serve.app import REFUSALS, Access, App
from ganforge.serve.drawing import Drawing, directions, feed
from ganforge.serve.errors import Refused
from ganforge.serve.gallery import _described
from ganforge.serve.limits import Limits
from ganforge.serve.measures import Exposition
from ganforge.serve.tensors import DATATYPES, parse

Z = {"inputs": [{"name": "z", "shape": [1, 6], "datatype": "FP32", "data": [0.0] * 6}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    toy_model(folder)
    toy_model(folder, "labelled", recipe="toy-labelled", kind="labelled")
    export(toy_run(folder / "run-points", data="toy-points"), folder / "points.onnx")
    return folder


@pytest.fixture(scope="module")
def app(folder: Path) -> App:
    return app_of(folder / "toy.onnx", folder / "labelled.onnx", folder / "points.onnx")


def picture(content: bytes) -> np.ndarray:
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def model(folder: Path, name: str) -> Model:
    return load(folder / f"{name}.onnx", device="cpu")


# Pictures.


def test_pictures_are_those_of_the_file(app: App, folder: Path) -> None:
    given = one(app, "/images?seed=3&n=9")
    assert (given.status, given.headers["content-type"]) == (200, "image/png")
    np.testing.assert_array_equal(picture(given.body), grid(model(folder, "toy").sample(9, seed=3)))


def test_every_parameter_of_a_picture(app: App, folder: Path) -> None:
    labelled = model(folder, "labelled")
    address = "/images?model=labelled&version=1&seed=-3&n=4&start=2&label=owl&truncation=0.5&columns=4"
    wanted = labelled.sample(4, seed=-3, start=2, label="owl", truncation=0.5)
    np.testing.assert_array_equal(picture(one(app, address).body), grid(wanted, 4))
    lossless = one(app, f"{address}&format=webp")
    assert lossless.headers["content-type"] == "image/webp"
    np.testing.assert_array_equal(picture(lossless.body), grid(wanted, 4))
    assert one(app, f"{address}&format=jpeg").body.startswith(b"\xff\xd8")


def test_without_a_label_every_class_has_a_row(app: App, folder: Path) -> None:
    wanted = grid(model(folder, "labelled").sample(6, seed=1), labels=np.arange(6) % 3)
    np.testing.assert_array_equal(picture(one(app, "/images?model=labelled&seed=1&n=6").body), wanted)


def test_points_are_a_plot(app: App) -> None:
    assert picture(one(app, "/images?model=points&n=20").body).shape == (480, 480, 3)


def test_more_pictures_than_a_batch_holds(folder: Path) -> None:
    small = app_of(folder / "toy.onnx", max_batch=4)
    np.testing.assert_array_equal(
        picture(one(small, "/images?n=10").body), picture(one(app_of(folder / "toy.onnx"), "/images?n=10").body)
    )


def test_on_the_way_to_another_seed(folder: Path) -> None:
    card = model(folder, "labelled").card
    given = feed(Drawing(n=5, seed=1, to=2), card)
    ends = [card.latent.sample(seed, 1)[0] for seed in (1, 2)]
    np.testing.assert_allclose(given["z"][[0, -1]], ends, atol=1e-6)
    lengths = np.linalg.norm(given["z"], axis=1)
    assert lengths.min() > 0.95 * min(lengths[0], lengths[-1]), "a straight line would pass near the origin"
    np.testing.assert_array_equal(given["label"], [[0]] * 5)
    for same in (ends[0], -ends[0], np.zeros_like(ends[0])):
        assert np.isfinite(card.latent.path(ends[0], same, 3)).all()


def test_directions_of_the_card_move_the_latent(folder: Path) -> None:
    toy = model(folder, "toy").card
    card = toy.model_copy(update={"directions": ((1.0, 0, 0, 0, 0, 0), (0, 0.6, 0.8, 0, 0, 0))})
    assert directions(card).shape == (2, 6)
    assert directions(toy.model_copy(update={"directions": ()})).shape == (0, 6)
    moved = feed(Drawing(n=2, seed=1, shifts={0: 1.5, 1: -2.0}), card)["z"] - feed(Drawing(n=2, seed=1), card)["z"]
    np.testing.assert_allclose(moved, [[1.5, -1.2, -1.6, 0, 0, 0]] * 2, atol=1e-6)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("sed=1", "unknown parameter 'sed'; did you mean 'seed'?"),
        ("n=0", "n must be a whole number from 1 to 256, not '0'"),
        ("n=1e9", "n must be a whole number from 1 to 256, not '1e9'"),
        ("seed=1.5", "seed must be a whole number from -9223372036854775807 to 9223372036854775807, not '1.5'"),
        ("truncation=nan", "truncation must be a number from 0.05 to 1000, not 'nan'"),
        ("truncation=0", "truncation must be a number from 0.05 to 1000, not '0'"),
        ("model=labelled&label=cta", "unknown class 'cta'; did you mean 'cat'?"),
        ("model=labelled&label=-1", "unknown class '-1'; there is cat, dog, owl"),
        ("label=cat", "this model was trained without labels; leave the label out"),
        ("format=gif", "unknown format 'gif'; there is jpeg, png, webp"),
        ("shift=9:1", "this model has 6 directions, counted from 0; there is no 9"),
        ("shift=0", "shift takes DIRECTION:DISTANCE, distances up to 10, not '0'"),
        ("shift=0:inf", "shift takes DIRECTION:DISTANCE, distances up to 10, not '0:inf'"),
        ("seed=1&seed=2", "a parameter is given twice"),
        ("n=3&columns=4", "columns must be a whole number from 1 to 3, not '4'"),
    ],
)
def test_pictures_that_cannot_be(app: App, query: str, sentence: str) -> None:
    reply = one(app, f"/images?{query}")
    assert (reply.status, reply.sentence) == (400, sentence)


def test_no_such_model(app: App) -> None:
    reply = one(app, "/images?model=tyo")
    assert (reply.status, reply.sentence) == (404, "unknown model 'tyo'; did you mean 'toy'?")
    reply = one(app, "/images?model=toy&version=2")
    assert (reply.status, reply.sentence) == (404, "model 'toy' has no version '2'; there is 1")


def test_inputs_of_a_role_that_has_a_range_and_a_default(folder: Path) -> None:
    """As a generator with a truncation of its own declares it."""
    card = model(folder, "toy").card
    psi = Input(name="psi", role="truncation", dtype="float32", width=1, low=0, high=1, default=0.7)
    card = card.model_copy(update={"inputs": (*card.inputs, psi)})
    np.testing.assert_allclose(feed(Drawing(n=2), card)["psi"], [[0.7]] * 2)
    np.testing.assert_allclose(feed(Drawing(n=2, truncation=0.25), card)["psi"], [[0.25]] * 2)
    np.testing.assert_array_equal(feed(Drawing(n=2, truncation=0.25), card)["z"], feed(Drawing(n=2), card)["z"])
    with pytest.raises(GanforgeError, match=r"^truncation goes from 0 to 1 for this model, not 2$"):
        feed(Drawing(n=1, truncation=2), card)
    asked = parse(json.dumps(Z).encode(), "", card)
    np.testing.assert_allclose(asked.feed["psi"], [[0.7]])
    above = {"name": "psi", "shape": [1, 1], "datatype": "FP32", "data": [1.5]}
    with pytest.raises(GanforgeError, match=r"^input 'psi' goes from 0 to 1$"):
        parse(json.dumps({"inputs": [*Z["inputs"], above]}).encode(), "", card)


@pytest.mark.parametrize(
    ("dtype", "data"),
    [
        ("float32", ["a" * 100_000, *[""] * 20_000]),
        ("float32", [True, 2]),
        ("float32", [None, 2]),
        ("float32", [[1, 2], [3]]),
        ("int64", [1.0, 2]),
        ("int64", [2**63, 2]),
        ("int64", [10**400, 2]),
        ("int64", {}),
    ],
)
def test_data_that_is_no_numbers(folder: Path, dtype: str, data: object) -> None:
    card = model(folder, "toy").card
    one_ = Input(name="psi", role="truncation", dtype=dtype, width=1)
    card = card.model_copy(update={"inputs": (one_,)})
    named = {"name": "psi", "shape": [2, 1], "datatype": DATATYPES[dtype]}
    with pytest.raises(Refused, match=r"^the data of input 'psi' must be a list of 2 (whole )?numbers$"):
        parse(json.dumps({"inputs": [{**named, "data": data}]}).encode(), "", card)
    nested = parse(json.dumps({"inputs": [{**named, "data": [[1], [2]]}]}).encode(), "", card)
    np.testing.assert_array_equal(nested.feed["psi"], [[1], [2]])


# Limits.


def test_what_a_client_sends_is_never_the_server_s_fault(folder: Path) -> None:
    app = app_of(folder / "toy.onnx")
    infer = "/v2/models/toy/infer"
    long = one(app, infer, Z, {"inference-header-content-length": "0" * 5000})
    assert (long.status, "must be a number up to the" in long.sentence) == (400, True)
    vast = one(app, infer, {"inputs": [{**Z["inputs"][0], "shape": [10**4299, 6]}]})
    assert (vast.status, "must have the shape [N, 6]" in vast.sentence) == (400, True)
    sequence = one(app, infer, {**Z, "parameters": {"sequence_id": 7}})
    assert (sequence.status, sequence.sentence) == (400, "sequences are not offered; each request stands for itself")
    wide = one(app, "/images?n=256&columns=256&format=webp")
    assert (wide.status, wide.sentence) == (
        400,
        "a grid of 68×16898 is too large for webp; take png, or other columns",
    )
    assert one(app, "/models", None, {"origin": "http://["}).status == 403


def test_a_body_too_long(folder: Path) -> None:
    app = app_of(folder / "toy.onnx", max_body=100)
    for headers in ({}, {"content-length": "5"}):  # one that lies is cut off where it is too long
        reply = one(app, "/v2/models/toy/infer", b"x" * 101, headers)
        assert (reply.status, reply.sentence) == (413, "a body may have 100 bytes, and this one has more")


def test_a_body_that_swells(folder: Path) -> None:
    import gzip
    import zlib

    app = app_of(folder / "toy.onnx", max_body=10_000)
    swollen = gzip.compress(b" " * 10_001)
    assert one(app, "/v2/models/toy/infer", swollen, {"content-encoding": "gzip"}).status == 413
    packed = zlib.compress(json.dumps(Z).encode())
    assert one(app, "/v2/models/toy/infer", packed, {"content-encoding": "deflate"}).status == 200
    cut = one(app, "/v2/models/toy/infer", packed[:-9], {"content-encoding": "deflate"})
    assert (cut.status, cut.sentence) == (400, "the body's deflate data breaks off")
    assert one(app, "/v2/models/toy/infer", b"{}", {"content-encoding": "gzip"}).status == 400
    assert one(app, "/v2/models/toy/infer", b"{}", {"content-encoding": "br"}).status == 415


def test_too_many_pixels(folder: Path) -> None:
    app = app_of(folder / "toy.onnx", max_pixels=640)
    many = {"inputs": [{"name": "z", "shape": [11, 6], "datatype": "FP32", "data": [0.0] * 66}]}
    reply = one(app, "/v2/models/toy/infer", many)
    assert reply.sentence == "11 samples of 8×8 are more than the 640 pixels an answer may have"
    assert one(app, "/images?n=1").sentence == "a grid of 1 is more than the 640 pixels allowed"


def test_overload_is_told_to_come_back_and_what_was_taken_is_answered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = gated(monkeypatch)
    app = app_of(folder / "toy.onnx", threads=1, max_queue=5)

    async def scene() -> None:
        gates[0].hold()
        asked = [asyncio.create_task(ask(app, "/v2/models/toy/infer", Z)) for _ in range(20)]
        while sum(task.done() for task in asked) < 14:
            await asyncio.sleep(0)
        gates[0].go()
        replies = await asyncio.gather(*asked)
        assert [reply.status for reply in replies] == [200] * 6 + [503] * 14
        assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies[6:])
        assert replies[6].sentence == "5 samples are waiting, and 5 may; try again in 1 s"
        assert (await ask(app, "/v2/models/toy/infer", Z)).status == 200

    asyncio.run(asyncio.wait_for(scene(), 30))


def test_refusals_take_turns_and_nobody_else_waits_for_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gates = gated(monkeypatch)
    app = app_of(folder / "toy.onnx", threads=1, max_queue=1)

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        gates[0].hold()
        start, ended = loop.time(), []
        asked = [asyncio.create_task(ask(app, "/v2/models/toy/infer", Z)) for _ in range(42)]
        for task in asked[2:]:
            task.add_done_callback(lambda _: ended.append(loop.time() - start))
        while not ended:
            await asyncio.sleep(0)
        assert sum(task.done() for task in asked) == 1, "the first is refused at once, the others after it"
        assert (await ask(app, "/v2/models/toy", method="GET")).status == 200
        gates[0].go()
        assert [reply.status for reply in await asyncio.gather(*asked)] == [200] * 2 + [503] * 40
        assert ended[-1] >= 39 / REFUSALS

    asyncio.run(asyncio.wait_for(scene(), 30))


def test_who_hangs_up_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gates = gated(monkeypatch)
    app = app_of(folder / "toy.onnx", threads=1)
    (served,) = app.repository.loaded()

    async def scene() -> None:
        gates[0].hold()
        gone = asyncio.Event()
        first = asyncio.create_task(ask(app, "/v2/models/toy/infer", Z))
        second = asyncio.create_task(ask(app, "/v2/models/toy/infer", Z, gone=gone))
        while not served.batcher.queued:
            await asyncio.sleep(0)
        gone.set()
        assert (await second).status == 0
        assert served.batcher.queued == 0
        gates[0].go()
        assert (await first).status == 200

    asyncio.run(asyncio.wait_for(scene(), 30))
    assert app.stats.answered["/v2/models/{model}/infer", 499] == 1
    assert app.stats.in_flight == 0


def test_drawing_has_a_deadline_and_no_more_at_once_than_may_wait(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_of(folder / "toy.onnx", timeout=0.2, max_queue=1)
    monkeypatch.setattr("ganforge.serve.drawing.feed", lambda *_: time.sleep(0.6))

    async def scene() -> None:
        first, second = await asyncio.gather(ask(app, "/images"), ask(app, "/images"))
        assert (first.status, first.sentence) == (503, "there was no time for this request; try again in 1 s")
        assert (second.status, second.sentence) == (503, "too many pictures are being drawn; try again in 1 s")

    asyncio.run(scene())


def test_a_model_loaded_again_drops_no_request(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gates = gated(monkeypatch)
    app = app_of(folder / "toy.onnx", threads=1)

    async def scene() -> None:
        gates[0].hold()
        before = [asyncio.create_task(ask(app, "/v2/models/toy/infer", Z)) for _ in range(3)]
        await asyncio.sleep(0)
        assert (await ask(app, "/v2/repository/models/toy/load", b"")).status == 200
        assert (await ask(app, "/v2/models/toy/infer", Z)).status == 200  # by the new one, while the old one is held
        assert not any(task.done() for task in before)
        gates[0].go()
        assert [reply.status for reply in await asyncio.gather(*before)] == [200] * 3
        (stats,) = (await ask(app, "/v2/models/toy/stats")).json()["model_stats"]
        assert stats["inference_count"] == 4

    asyncio.run(asyncio.wait_for(scene(), 30))


# Who may ask.


def test_the_key(folder: Path) -> None:
    app = app_of(folder / "toy.onnx", access=Access(key="tür"))
    for address in ("/", "/openapi.json", "/v2/health/live", "/v2/health/ready"):
        assert one(app, address).status == 200, address
    right = "Bearer tür"
    for address in ("/v2", "/models", "/metrics", "/images", "/v2/models/toy"):
        for wrong in ({}, {"authorization": "Bearer tur"}, {"authorization": right.replace("Bearer", "Basic")}):
            reply = one(app, address, None, wrong)
            assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
            assert reply.sentence == "this needs the server's key: Authorization: Bearer KEY"
    assert one(app, "/v2", None, {"authorization": right}).status == 200


def test_pages_of_other_sites(folder: Path) -> None:
    app = app_of(folder / "toy.onnx", access=Access(origins=("https://friend.example",)))
    unload = "/v2/repository/models/toy/unload"
    for origin in ("https://stranger.example", "null", "http://test.example"):
        assert one(app, unload, b"", {"origin": origin}).status == 403
    own = one(app, "/models", None, {"origin": "http://test"})
    assert (own.status, "access-control-allow-origin" in own.headers) == (200, False)
    friend = one(app, "/models", None, {"origin": "https://friend.example"})
    assert friend.headers["access-control-allow-origin"] == "https://friend.example"
    asked_first = one(app, unload, None, {"origin": "https://friend.example"}, method="OPTIONS")
    assert (asked_first.status, "authorization" in asked_first.headers["access-control-allow-headers"]) == (204, True)
    assert one(app, unload, None, {"origin": "https://stranger.example"}, method="OPTIONS").status == 405


def test_what_is_not_there(app: App) -> None:
    for path in ("/nothing", "/v2/models//infer", "/v2/models/toy/infer/", "/v2/../etc/passwd", "//", ""):
        assert one(app, path).status == 404, path
    reply = one(app, "/v2/models/toy/infer")
    assert (reply.status, reply.headers["allow"], reply.sentence) == (405, "POST", "this takes POST, not GET")
    assert one(app, "/" + "x" * 5000).status == 414
    assert one(app, "/images?" + "x" * 5000).status == 414


def test_head_is_get_without_the_body(app: App) -> None:
    reply = one(app, "/v2", method="HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-length"] == str(len(one(app, "/v2").body))


# What it says of itself.


def test_request_ids(app: App) -> None:
    ids = {one(app, "/v2").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
    assert one(app, "/v2", None, {"x-request-id": "mine-7"}).headers["x-request-id"] == "mine-7"
    assert one(app, "/v2", None, {"x-request-id": "a\nb"}).headers["x-request-id"] != "a\nb"


def test_the_log_is_json_a_line(folder: Path) -> None:
    log: list[str] = []
    app = App(app_of(folder / "toy.onnx").repository, Limits(), Access(), log.append)
    for address in ("/v2", "/images?n=0", "/forged\n{}", "/v2/health/live", "/metrics"):
        one(app, address)
    lines = [json.loads(line) for line in log]
    assert [(line["path"], line["status"]) for line in lines] == [("/v2", 200), ("/images", 400), ("/forged\n{}", 404)]
    assert lines[1]["error"] == "n must be a whole number from 1 to 256, not '0'"


def test_metrics_can_be_read(folder: Path) -> None:
    app = app_of(folder / "toy.onnx")
    one(app, "/v2/models/toy/infer", Z)
    one(app, "/never/seen")
    text = one(app, "/metrics").body.decode()
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [0-9.e+-]+', line), line
    for line in (
        'ganforge_requests_total{route="/v2/models/{model}/infer",status="200"} 1',
        'ganforge_requests_total{route="other",status="404"} 1',
        'ganforge_request_seconds_count{route="/v2/models/{model}/infer"} 1',
        'ganforge_model_samples_total{model="toy",version="1"} 1',
        'ganforge_model_batch_samples_bucket{model="toy",version="1",le="1"} 1',
        'ganforge_model_queue_samples{model="toy",version="1"} 0',
    ):
        assert line in text.splitlines(), line


def test_large_figures_keep_every_digit() -> None:
    page = Exposition()
    page.family("many", "counter", "Many.", [({}, 12_345_678), ({}, 0.25)])
    assert page.text().splitlines()[2:] == ["many 12345678", "many 0.25"]


def test_the_description_has_every_call(app: App) -> None:
    described = one(app, "/openapi.json").json()
    calls = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    assert calls == {(route.method, route.path) for route in app.routes}
    assert described["openapi"].startswith("3.1")
    queried = described["paths"]["/images"]["get"]["parameters"]
    assert {one["name"] for one in queried} >= {"seed", "label", "n", "truncation", "to"}


def test_what_the_page_is_told(app: App) -> None:
    toy, labelled, points = one(app, "/models").json()
    assert (toy["name"], toy["classes"], toy["directions"], toy["interpolates"]) == ("toy", [], 6, True)
    assert labelled["classes"] == ["cat", "dog", "owl"]
    assert points["kind"] == "points"
    assert (toy["most"], points["most"]) == (256, 256)


def test_the_page_is_told_no_more_pictures_than_can_be_drawn(app: App, folder: Path) -> None:
    served = app_of(folder / "toy.onnx").repository.get("toy")
    data = served.card.data.model_copy(update={"shape": (3, 1024, 1024)})
    large = replace(served, card=served.card.model_copy(update={"data": data}))
    assert _described(large, Limits())["most"] == 4
    assert _described(large, Limits(max_queue=2))["most"] == 2


def test_a_stopping_server_is_alive_and_not_ready(folder: Path) -> None:
    app = app_of(folder / "toy.onnx")
    app.protocol.stopping = True
    assert one(app, "/v2/health/live").status == 200
    assert one(app, "/v2/health/ready").status == 503
    assert one(app, "/v2/models/toy/ready").status == 503
    assert one(app, "/v2/models/toy/infer", Z).status == 200


def test_a_bug_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    app = app_of(folder / "toy.onnx")
    monkeypatch.setattr("ganforge.serve.protocol.parse", lambda *_: 1 / 0)
    reply = one(app, "/v2/models/toy/infer", Z)
    assert (reply.status, reply.sentence) == (500, "unexpected ZeroDivisionError; see the server's log")
    assert "ZeroDivisionError" in caplog.text
