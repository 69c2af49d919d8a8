"""ONNX networks that are read by their graph, and those that are refused with what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model_builder.checkpoints.formats.onnx.wire import floating
from model_builder.checkpoints.loader import read_checkpoint
from model_builder.checkpoints.published import PublishedTensors
from model_builder.errors import ConversionFailed
from tests.model_builder import onnx_files
from tests.model_builder.onnx_files import Exporter, attribute, block, save_onnx
from tests.model_builder.reference import Reference, random_state_dict

REFERENCE = Reference(18, random_state_dict(18, np.random.default_rng(0), 3))
STATE = REFERENCE.state_dict


def written(path: Path, change: Callable[[Exporter], str], **options: object) -> Path:
    """change: adds nodes, and gives the output."""
    exporter = Exporter(REFERENCE, **options)  # type: ignore[arg-type]
    return exporter.write(path, change(exporter))


def plain(exporter: Exporter) -> str:
    return exporter.classified(exporter.features("x"))


def refusal(path: Path) -> str:
    with pytest.raises(ConversionFailed) as raised:
        read_checkpoint(path)
    assert str(raised.value).isprintable()
    return str(raised.value)


def equal(found: PublishedTensors, tolerance: float = 0.0) -> None:
    for name in ("layer3.0.conv2", "layer2.0.downsample.0"):
        ours = name.replace(".", "_") + "/kernel"
        expected = STATE[f"{name}.weight"].transpose(2, 3, 1, 0)
        np.testing.assert_allclose(found.tensors[ours], expected, atol=tolerance)
    np.testing.assert_allclose(found.tensors["fc/kernel"], STATE["fc.weight"].T, atol=tolerance)


def test_an_unfolded_file_has_every_tensor_to_the_last_bit(tmp_path: Path) -> None:
    equal(read_checkpoint(save_onnx(tmp_path / "a", REFERENCE, folded=False)))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 0.01), ("float64", 0.0)])
def test_other_precisions_become_float32(tmp_path: Path, dtype: str, tolerance: float) -> None:
    path = save_onnx(tmp_path / "a.onnx", REFERENCE, folded=False, dtype=dtype)
    equal(read_checkpoint(path), tolerance)


def test_weights_in_a_file_beside_it(tmp_path: Path) -> None:
    values = STATE["fc.weight"]
    (tmp_path / "a.onnx.data").write_bytes(bytes(24) + values.tobytes() + bytes(8))

    def change(exporter: Exporter, location: str = "a.onnx.data") -> str:
        output = plain(exporter)
        place = {"location": location, "offset": "24", "length": str(values.nbytes)}
        exporter.tensors[-2] = onnx_files.outside("fc.weight", values.shape, place)
        return output

    equal(read_checkpoint(written(tmp_path / "a.onnx", change, folded=False)))
    for location in ("../a.onnx.data", "/etc/passwd", "x" * 300, "missing.data"):
        path = written(tmp_path / "b.onnx", lambda e, at=location: change(e, at))  # type: ignore[misc]
        assert "its weights" in refusal(path) or "must be in its folder" in refusal(path)
    (tmp_path / "a.onnx.data").write_bytes(bytes(100))
    assert "bytes" in refusal(tmp_path / "a.onnx")


def two_layers(exporter: Exporter, end: str) -> str:
    rng = np.random.default_rng(1)
    value = exporter.add("ReduceMean", [exporter.features("x")], axes=[-2, -1], keepdims=0)
    exporter.store("fc.0", rng.random((512, 16), np.float32))
    exporter.store("fc.1", rng.random(16, np.float32))
    value = exporter.add("Add", ["fc.1", exporter.add("MatMul", [value, "fc.0"])])
    value = exporter.add("Dropout", [exporter.relu(value)])
    exporter.store("fc.2", rng.random((5, 16), np.float32))
    value = exporter.add("Gemm", [value, "fc.2"], transB=1)
    return exporter.add(end, [value], axis=-1)


@pytest.mark.parametrize(("end", "activation"), [("Softmax", "softmax"), ("Sigmoid", "sigmoid")])
def test_a_classifier_of_two_layers(tmp_path: Path, end: str, activation: str) -> None:
    found = read_checkpoint(written(tmp_path / "a.onnx", lambda e: two_layers(e, end)))
    architecture = found.architecture()
    assert [(one.width, one.activation) for one in architecture.hidden_layers] == [(16, "relu")]
    assert (architecture.classes, architecture.activation) == (5, activation)
    rng = np.random.default_rng(1)
    np.testing.assert_array_equal(found.tensors["head_0/kernel"], rng.random((512, 16), np.float32))
    np.testing.assert_array_equal(found.tensors["head_0/bias"], rng.random(16, np.float32))
    np.testing.assert_array_equal(found.tensors["fc/kernel"].T, rng.random((5, 16), np.float32))


def replaced(old: bytes, new: bytes) -> Callable[[Exporter], str]:
    """The plain network with one attribute of its nodes changed."""

    def change(exporter: Exporter) -> str:
        output = plain(exporter)
        nodes = [one.replace(old, new) for one in exporter.nodes]
        assert nodes != exporter.nodes
        exporter.nodes = nodes
        return output

    return change


def squeeze_and_excite(exporter: Exporter) -> str:
    value = exporter.features("x")
    return exporter.classified(exporter.add("Mul", [value, value]))


def scaled_image(exporter: Exporter) -> str:
    return exporter.classified(exporter.features(exporter.add("Div", ["x", "x"])))


def no_classifier(exporter: Exporter) -> str:
    return exporter.add("GlobalAveragePool", [exporter.features("x")])


def relu_at_the_end(exporter: Exporter) -> str:
    return exporter.relu(plain(exporter))


def no_pooling(exporter: Exporter) -> str:
    return exporter.add("Flatten", [exporter.features("x")])


def own_input(exporter: Exporter) -> str:
    plain(exporter)
    exporter.nodes = [onnx_files.node("Identity", ["a"], "a")]
    return "a"


def another_domain(exporter: Exporter) -> str:
    output = plain(exporter)
    exporter.nodes[-1] += block(7, "com.microsoft")
    return output


def computed_weights(exporter: Exporter) -> str:
    value = exporter.add("GlobalAveragePool", [exporter.features("x")])
    return exporter.add("Gemm", [value, exporter.relu("x")])


def same(name: str, *values: int) -> bytes:
    return block(5, attribute(name, values))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (squeeze_and_excite, "(Mul) stands where a ResNet has a ReLU"),
        (scaled_image, "(Div) stands where a ResNet has a ReLU"),
        (no_classifier, "has no classifier"),
        (relu_at_the_end, "A classifier ends with a dense layer"),
        (no_pooling, "(Add)"),
        (own_input, "(Identity) stands where a classifier has"),
        (another_domain, "is not one of ONNX's own, but of com.microsoft"),
        (computed_weights, "has weights that are computed: export it with optimize=True"),
        (replaced(same("pads", 1, 1, 1, 1), same("pads", 0, 0, 1, 1)), "has pads [0, 0, 1, 1]"),
        (replaced(same("dilations", 1, 1), same("dilations", 2, 2)), "has dilations [2, 2]"),
        (replaced(same("strides", 2, 2), same("strides", 2, 1)), "has strides [2, 1]"),
        (replaced(same("strides", 2, 2), same("strides", 1, 1)), "has strides"),
        (replaced(block(4, "MaxPool"), block(4, "AveragePool")), "stands where a ResNet has a"),
        (
            replaced(block(5, attribute("ceil_mode", 0)), block(5, attribute("ceil_mode", 1))),
            "ceil",
        ),
        (replaced(block(4, "Add"), block(4, "Sum")), "(Sum)"),
        (replaced(attribute("alpha", 1.0), attribute("alpha", 2.0)), "scales"),
    ],
)
def test_another_network_is_refused_by_its_node(
    tmp_path: Path, change: Callable[[Exporter], str], said: str
) -> None:
    assert said in refusal(written(tmp_path / "a.onnx", change))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x08",
        b"\x08\x08\x12\x07pytorch",
        b"\x08\x08:\x02\x0a\x00",
        b"\x08\x08:\x04\x0a\x02\x22\x00",
        b"\x08\x08" + b"\x80" * 20,
        b"\x0f\x0f",
        block(7, block(5, onnx_files.integer(1, -3))),
        block(7, block(11, onnx_files.integer(1, 5))),
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    assert "a.onnx is" in refusal(tmp_path / "a.onnx") or "one input" in refusal(
        tmp_path / "a.onnx"
    )


def test_a_network_of_too_many_nodes(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(onnx_files.model([block(2, "a")] * 20_001, [], ["x"], "a"))
    assert "may have 20000 nodes" in refusal(path)


def test_a_float_of_eight_bytes() -> None:
    with pytest.raises(ValueError, match="a number of 4 bytes with 8"):
        floating(memoryview(bytes(8)))
