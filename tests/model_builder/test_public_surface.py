"""The public names of `model_builder`, and the modules that it does not import."""

from __future__ import annotations

from importlib.resources import files

import pytest

import model_builder
from model_builder import ResNetConfig, build_resnet
from tests.interpreter import modules_after


@pytest.mark.parametrize(
    "statement",
    ["import model_builder", "from model_builder import ResNetConfig, CHECKPOINTS, Checkpoint"],
)
def test_importing_loads_no_framework(statement: str) -> None:
    loaded = modules_after(statement)
    assert "model_builder" in loaded
    assert not loaded & {"keras", "tensorflow", "h5py"}


@pytest.mark.parametrize("name", model_builder.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert name in dir(model_builder)
    assert getattr(model_builder, name) is not None


def test_other_names_do_not_exist() -> None:
    with pytest.raises(AttributeError, match="module 'model_builder' has no attribute 'nothing'"):
        _ = model_builder.nothing


def test_a_network_is_built_from_the_public_names() -> None:
    network = build_resnet(ResNetConfig.of("resnet18", classes=3), input_size=32)
    assert network.name == "resnet18"
    assert network.output.shape == (None, 3)


def test_the_package_is_typed() -> None:
    assert files("model_builder").joinpath("py.typed").is_file()
