"""Loads a checkpoint's tensors, published or custom, and assigns them to our network's layers.

`formats` reads the files; `infer_config` derives the network from their tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.numpy import load_file

from model_builder.artifact.labels import Label, imagenet1k
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.custom import TENSORS, CustomCheckpoint
from model_builder.checkpoints.download.fetch import LocalFile
from model_builder.checkpoints.formats.pytorch import reader as pytorch
from model_builder.checkpoints.formats.readers import READERS, identify
from model_builder.checkpoints.formats.recognition.folders import weights_file
from model_builder.checkpoints.formats.recognition.stated import refuse_stated_file
from model_builder.checkpoints.formats.state_dict import Array, CheckpointFormat, Tensors
from model_builder.checkpoints.infer_config import check_finite, infer
from model_builder.checkpoints.published import PublishedTensors
from model_builder.checkpoints.recipe.files import CONFIG, Beside
from model_builder.errors import ConversionFailed
from model_builder.networks.config import ResNetConfig
from model_builder.system.printable import LINE_CHARACTERS, cut, printable, shortlist
from model_builder.system.regular_file import NotARegularFile, check_regular_file

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """The tensors of one checkpoint, ready to be built.

    tensors: by our names, as `assign` takes them. labels: in the order of the logits.
    source, digest: where the file was published and its hash, for the manifest.
    """

    tensors: Tensors
    labels: tuple[Label, ...]
    source: str
    digest: str


def published_weights(checkpoint: Checkpoint, file: LocalFile) -> Weights:
    """The weights of a catalog row, from its file. Raises ConversionFailed."""
    tensors = read_tensors(file, checkpoint.architecture)
    source = file.source
    return Weights(tensors, imagenet1k(), source.address, source.digest(file.path))


def custom_weights(folder: Path, checkpoint: CustomCheckpoint) -> Weights:
    """The weights of an imported checkpoint in `folder`. Raises ConversionFailed."""
    path = folder / checkpoint.name / TENSORS
    try:
        check_regular_file(path)
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConversionFailed(f"{path} can't be read: {error}") from error
    check_finite(tensors)
    return Weights(tensors, checkpoint.labels, checkpoint.source, checkpoint.digest)


def read_tensors(file: LocalFile, architecture: ResNetConfig) -> Tensors:
    """A checkpoint's tensors by our names: "conv1/kernel", "layer1_0_bn1/gamma", "fc/bias", ...

    Raises ConversionFailed where tensors are missing or belong to another network.
    """
    published = infer(file.source.format, file.source.read(file.path))
    published.check(architecture)
    return published.tensors


def read_checkpoint(
    path: Path,
    *,
    format: CheckpointFormat | None = None,
    key: str | None = None,
    beside: Beside | None = None,
) -> PublishedTensors:
    """The tensors of any file of weights, and the network that they belong to.

    path: of a file, or of a folder with one set of weights. format: identified from the file by
    default. key: the place of the network in a file of PyTorch's that holds several. beside: the
    files in its folder, where the caller needs them too.
    Raises ConversionFailed, with one line that can be printed whatever names are in the file.
    """
    if not path.exists():
        raise ConversionFailed(f"There is no file {path}")
    try:
        return _read(path, format, key, beside)
    except ConversionFailed as error:
        message = cut(printable(str(error)), LINE_CHARACTERS)
        if message == str(error):
            raise
        raise ConversionFailed(message) from error


def _read(
    path: Path, format: CheckpointFormat | None, key: str | None, beside: Beside | None
) -> PublishedTensors:
    try:
        path = weights_file(path)
        refuse_stated_file(path.name, (beside or Beside(path)).content(CONFIG))
        format = format or identify(path)
        if key is None:
            return infer(format, READERS[format](path))
        if READERS[format] is not pytorch.read:
            raise ConversionFailed(f"Files of PyTorch have keys. {path.name} is one of {format}")
        return infer(format, pytorch.read(path, key))
    except NotARegularFile as error:
        raise ConversionFailed(f"Weights are read from files. {error}") from error
    except RecursionError:
        raise ConversionFailed(f"{path.name} is nested too deeply for a network's") from None
    except MemoryError:
        raise ConversionFailed(f"{path.name} does not fit into this machine's memory") from None


def assign(network: keras.Model, tensors: Mapping[str, Array], architecture: ResNetConfig) -> None:
    """Fills every variable of the network from exactly one tensor each.

    A convolution's bias has no variable: it is subtracted from the moving mean of the batch norm
    that follows, which is exact, since BN(Wx + b) is BN(Wx) with the moving mean reduced by b.
    Raises ConversionFailed where a tensor is missing, unused or of another shape.
    """
    tensors = dict(tensors)
    for spec in architecture.convolutions():
        bias = tensors.pop(f"{spec.name}/bias", None)
        mean = f"{spec.batch_norm}/moving_mean"
        if bias is not None and mean in tensors:
            tensors[mean] = tensors[mean] - bias
    # The last two parts of a Keras weight path are the layer's name and the field's.
    variables = {f"{v.path.split('/')[-2]}/{v.path.split('/')[-1]}": v for v in network.weights}
    if missing := sorted(variables.keys() - tensors.keys()):
        raise ConversionFailed(f"The checkpoint has no tensor for {shortlist(missing)}")
    if unused := sorted(tensors.keys() - variables.keys()):
        raise ConversionFailed(f"The network has no variable for {shortlist(unused)}")
    for name, variable in variables.items():
        if tuple(variable.shape) != tensors[name].shape:
            raise ConversionFailed(
                f"{name} has shape {tuple(variable.shape)} in the network. "
                f"Received: {tensors[name].shape}"
            )
    for name, variable in variables.items():
        variable.assign(tensors[name])
