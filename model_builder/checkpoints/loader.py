"""A file of published tensors to the layers of our network: complete, or an error.

What is in which layout is `layouts`' to know, and what can be told from it `infer`'s.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from model_builder.checkpoints.catalog import NpmSource
from model_builder.checkpoints.download.fetch import LocalFile
from model_builder.checkpoints.formats import (
    Array,
    Layout,
    StateDict,
    Tensors,
    keras_h5,
    keras_v3,
    tfjs,
    torch,
    transformers,
)
from model_builder.checkpoints.formats.hdf5 import opened
from model_builder.checkpoints.infer_config import PublishedTensors, infer
from model_builder.errors import ConversionFailed
from model_builder.networks.config import ResNetConfig

if TYPE_CHECKING:
    import keras

READERS = {
    "keras_h5": keras_h5.read,
    "keras_v3": keras_v3.read,
    "tfjs": tfjs.read,
    "torch": torch.read,
    "transformers": transformers.read,
}


def read_tensors(file: LocalFile, architecture: ResNetConfig) -> Tensors:
    """A checkpoint's tensors by our names: "conv1/kernel", "layer1_0_bn1/gamma", "fc/bias", ...

    Raises ConversionFailed where they are not all there, or not of this network.
    """
    source = file.source
    if isinstance(source, NpmSource):
        contents = tfjs.read(file.path, folder=source.folder, shards_sha256=source.shards_sha256)
        published = infer(source.layout, contents)
    else:
        published = read_checkpoint(file.path, layout=source.layout)
    published.check(architecture)
    return published.tensors


def read_checkpoint(path: Path, *, layout: Layout | None = None) -> PublishedTensors:
    """Any file of weights, and what network it is of.

    layout: by default told from the file itself. Raises ConversionFailed.
    """
    if not path.exists():
        raise ConversionFailed(f"There is no file {path}")
    layout = layout or identify(path)
    contents: StateDict = READERS[layout](path)
    return infer(layout, contents)


def identify(path: Path) -> Layout:
    """The layout of a file, from its first bytes and the names in it. Raises ConversionFailed."""
    if path.is_dir() or path.name == tfjs.MODEL:
        return "tfjs"
    if h5py.is_hdf5(path):
        return "keras_h5" if _is_legacy(path) else "keras_v3"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if keras_v3.WEIGHTS in archive.namelist():
                return "keras_v3"
    elif tarfile.is_tarfile(path):
        return "tfjs"
    elif not torch.is_safetensors(path) and not torch.is_pickle(path):
        raise ConversionFailed(
            "Weights are read from HDF5, .keras, TensorFlow.js, safetensors and PyTorch's files. "
            f"Received: {path.name}, which is none of them"
        )
    keys = (key.removeprefix(torch.PREFIX) for key in torch.key_names(path))
    return "transformers" if any(key.startswith(transformers.STEM) for key in keys) else "torch"


def assign(network: keras.Model, tensors: Mapping[str, Array], architecture: ResNetConfig) -> None:
    """Fills every variable of the network, and uses every tensor, or raises ConversionFailed.

    A convolution's bias has no variable here; the batch norm behind it takes it in exactly,
    since BN(Wx + b) is BN(Wx) with its moving mean less b.
    """
    tensors = dict(tensors)
    for spec in architecture.convolutions():
        bias = tensors.pop(f"{spec.name}/bias", None)
        mean = f"{spec.batch_norm}/moving_mean"
        if bias is not None and mean in tensors:
            tensors[mean] = tensors[mean] - bias
    # Keras's own weight paths begin with the layer's name and end with the field's.
    variables = {f"{v.path.split('/')[-2]}/{v.path.split('/')[-1]}": v for v in network.weights}
    if missing := sorted(variables.keys() - tensors.keys()):
        raise ConversionFailed(f"The checkpoint has no tensor for {', '.join(missing)}")
    if unused := sorted(tensors.keys() - variables.keys()):
        raise ConversionFailed(f"The network has no variable for {', '.join(unused)}")
    for name, variable in variables.items():
        if tuple(variable.shape) != tensors[name].shape:
            raise ConversionFailed(
                f"{name} has shape {tuple(variable.shape)} in the network. "
                f"Received: {tensors[name].shape}"
            )
    for name, variable in variables.items():
        variable.assign(tensors[name])


def _is_legacy(path: Path) -> bool:
    with opened(path, path.name) as file:
        return "model_weights" in file or any(k.startswith("layer_names") for k in file.attrs)
