"""The Open Inference Protocol as a stock client speaks it, to a server in a process of its own."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_toys import CLASSES
from served import Server, serving, toy_model

from ganforge.serve import Model, load

client = pytest.importorskip("tritonclient.http")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository: one file, and a model of two versions."""
    folder = tmp_path_factory.mktemp("models")
    toy_model(folder)
    labelled = toy_model(folder.parent / "labelled-source", "labelled", recipe="toy-labelled", kind="labelled")
    for version in ("1", "12"):
        (folder / "labelled" / version).mkdir(parents=True)
        (folder / "labelled" / version / "model.onnx").write_bytes(labelled.read_bytes())
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with serving(folder, "--max-batch", 16) as server:
        yield server


@pytest.fixture
def triton(server: Server) -> Iterator[Any]:
    with client.InferenceServerClient(f"127.0.0.1:{server.port}") as triton:
        yield triton


@pytest.fixture(scope="module")
def toy(folder: Path) -> Model:
    return load(folder / "toy.onnx", device="cpu")


@pytest.fixture(scope="module")
def labelled(folder: Path) -> Model:
    return load(folder / "labelled" / "1" / "model.onnx", device="cpu")


def tensor(name: str, array: np.ndarray, *, binary: bool = True) -> Any:
    given = client.InferInput(name, list(array.shape), "FP32" if array.dtype == np.float32 else "INT64")
    given.set_data_from_numpy(array, binary_data=binary)
    return given


def refusal(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(client.InferenceServerException) as caught:
        call(*arguments, **named)
    return str(caught.value)


def test_health_and_metadata(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("toy")
    assert triton.is_model_ready("labelled", "12")
    assert not triton.is_model_ready("labelled", "3")
    assert not triton.is_model_ready("tyo")
    said = triton.get_server_metadata()
    assert said["name"] == "ganforge"
    assert "binary_tensor_data" in said["extensions"]
    about = triton.get_model_metadata("labelled")
    assert about["versions"] == ["1", "12"]
    assert about["inputs"] == [
        {"name": "z", "datatype": "FP32", "shape": [-1, 6]},
        {"name": "label", "datatype": "INT64", "shape": [-1, 1]},
    ]
    assert about["outputs"] == [{"name": "images", "datatype": "FP32", "shape": [-1, 3, 8, 8]}]
    assert triton.get_model_metadata("labelled", "12") == about
    assert triton.get_model_config("toy")["max_batch_size"] == 16


def test_the_config_is_one_that_triton_understands(triton: Any) -> None:
    model_config_pb2 = pytest.importorskip("tritonclient.grpc.model_config_pb2", exc_type=ImportError)
    from google.protobuf import json_format

    config = json_format.ParseDict(triton.get_model_config("labelled"), model_config_pb2.ModelConfig())
    assert [(one.name, list(one.dims)) for one in config.input] == [("z", [6]), ("label", [1])]


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_inference_gives_the_network_s_own_numbers(triton: Any, toy: Model, labelled: Model, binary: bool) -> None:
    z, labels = toy.card.latent.sample(3, 5), np.arange(5) % 3
    outputs = None if binary else [client.InferRequestedOutput("images", binary_data=False)]
    plain = triton.infer("toy", [tensor("z", z, binary=binary)], outputs=outputs, request_id="mine")
    np.testing.assert_array_equal(plain.as_numpy("images"), toy.generate(z))
    assert plain.get_response()["id"] == "mine"
    both = [tensor("label", labels[:, None], binary=binary), tensor("z", z, binary=binary)]
    given = triton.infer("labelled", both, model_version="12", outputs=outputs)
    np.testing.assert_array_equal(given.as_numpy("images"), labelled.generate(z, labels))
    assert given.get_response()["model_version"] == "12"


def test_latents_further_out_than_samples_lie(triton: Any, toy: Model) -> None:
    z = np.full((1, 6), 9, np.float32)
    given = triton.infer("toy", [tensor("z", z)]).as_numpy("images")
    np.testing.assert_array_equal(given, toy.generate(z))


def test_half_binary_half_json(triton: Any, labelled: Model) -> None:
    z, labels = labelled.card.latent.sample(3, 2), np.array([0, 2])
    both = [tensor("z", z, binary=False), tensor("label", labels[:, None])]
    given = triton.infer("labelled", both, outputs=[client.InferRequestedOutput("images")])
    np.testing.assert_array_equal(given.as_numpy("images"), labelled.generate(z, labels))


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests(triton: Any, toy: Model, algorithm: str) -> None:
    z = toy.card.latent.sample(3, 2)
    given = triton.infer(
        "toy", [tensor("z", z)], request_compression_algorithm=algorithm, response_compression_algorithm=algorithm
    )
    np.testing.assert_array_equal(given.as_numpy("images"), toy.generate(z))


def test_many_at_once(triton: Any, toy: Model, server: Server) -> None:
    z = toy.card.latent.sample(3, 40)
    with client.InferenceServerClient(f"127.0.0.1:{server.port}", concurrency=8) as triton:
        asked = [triton.async_infer("toy", [tensor("z", row[None])]) for row in z]
        given = np.concatenate([one.get_result().as_numpy("images") for one in asked])
    np.testing.assert_allclose(given, toy.generate(z), atol=1e-5)


@pytest.mark.parametrize(
    ("model", "array", "sentence"),
    [
        ("tyo", np.zeros((1, 6), np.float32), "unknown model 'tyo'; did you mean 'toy'?"),
        ("toy", np.zeros((17, 6), np.float32), "a request may ask for 16 samples, not 17"),
        ("toy", np.zeros((1, 7), np.float32), "input 'z' must have the shape [N, 6], not [1, 7]"),
        ("toy", np.zeros((1, 6), np.int64), "input 'z' must be FP32, not INT64"),
        ("toy", np.full((1, 6), np.nan, np.float32), "input 'z' holds what is no number"),
        ("labelled", np.zeros((1, 6), np.float32), "input 'label' is missing"),
    ],
)
def test_mistakes(triton: Any, model: str, array: np.ndarray, sentence: str) -> None:
    assert sentence in refusal(triton.infer, model, [tensor("z", array)])


@pytest.mark.parametrize("label", [-1, len(CLASSES), 2**62])
def test_a_class_that_does_not_exist(triton: Any, label: int) -> None:
    both = [tensor("z", np.zeros((1, 6), np.float32)), tensor("label", np.array([[label]]))]
    assert "input 'label' goes from 0 to 2" in refusal(triton.infer, "labelled", both)


def test_what_is_not_offered(triton: Any) -> None:
    z = [tensor("z", np.zeros((1, 6), np.float32))]
    ranked = client.InferRequestedOutput("images", class_count=2)
    assert "takes the parameter binary_data" in refusal(triton.infer, "toy", z, outputs=[ranked])
    assert "unknown output 'image'; did you mean 'images'?" in refusal(
        triton.infer, "toy", z, outputs=[client.InferRequestedOutput("image")]
    )
    assert "there is nothing here" in refusal(triton.get_system_shared_memory_status)
    assert "leave the parameters out" in refusal(triton.load_model, "toy", config="{}")


def test_a_client_s_own_deadline(triton: Any) -> None:
    z = [tensor("z", np.zeros((1, 6), np.float32))]
    triton.infer("toy", z, timeout=20_000_000)
    assert "[503] there was no time for this request" in refusal(triton.infer, "toy", z, timeout=1)


def test_the_repository(triton: Any) -> None:
    def states() -> dict[tuple[str, str], str]:
        return {(one["name"], one["version"]): one["state"] for one in triton.get_model_repository_index()}

    assert states() == dict.fromkeys([("toy", "1"), ("labelled", "1"), ("labelled", "12")], "READY")
    triton.unload_model("labelled")
    assert not triton.is_model_ready("labelled")
    assert states()["labelled", "12"] == "UNAVAILABLE"
    assert "unknown model 'labelled'" in refusal(triton.unload_model, "labelled")
    triton.load_model("labelled")
    triton.load_model("toy")
    assert set(states().values()) == {"READY"}
    assert "unknown model 'tyo'; did you mean 'toy'?" in refusal(triton.load_model, "tyo")


def test_statistics(triton: Any) -> None:
    def counts() -> tuple[int, int]:
        (stats,) = triton.get_inference_statistics("toy", "1")["model_stats"]
        return stats["inference_count"], stats["inference_stats"]["success"]["count"]

    before = counts()
    triton.infer("toy", [tensor("z", np.zeros((3, 6), np.float32))])
    assert counts() == (before[0] + 3, before[1] + 1)
    assert len(triton.get_inference_statistics()["model_stats"]) == 3
    assert [one["version"] for one in triton.get_inference_statistics("labelled")["model_stats"]] == ["1", "12"]


def test_json_without_a_client(server: Server, toy: Model) -> None:
    z = toy.card.latent.sample(1, 1)
    body = {"inputs": [{"name": "z", "shape": [1, 6], "datatype": "FP32", "data": z[0].tolist()}]}
    request = urllib.request.Request(f"{server.url}v2/models/toy/infer", json.dumps(body).encode())
    with urllib.request.urlopen(request) as answer:
        (output,) = json.load(answer)["outputs"]
    assert output["shape"] == [1, 3, 8, 8]
    np.testing.assert_array_equal(np.array(output["data"], np.float32).reshape(1, 3, 8, 8), toy.generate(z))
