"""Refuses files that hold objects of classes that are not read as data, and says what they are."""

from __future__ import annotations

import re

from model_builder.checkpoints.formats.pytorch.content import Content
from model_builder.checkpoints.formats.pytorch.pickles.values import Instance
from model_builder.errors import ConversionFailed
from model_builder.system.printable import cut, printable

NAME_CHARACTERS = 100
# Only a pickled network names the classes of its layers.
MODULES = re.compile(
    r"torch\.nn\.(modules|quantized|intrinsic|qat)\.|torch\.(ao\.nn|fx|jit)\.|timm\.models\."
    r"|torchvision\.(models|ops)\.|ultralytics\."
)
OTHERS = {
    "sklearn": "an object of scikit-learn",
    "joblib": "an object of joblib",
    "fastai": "a Learner of fastai (learn.export)",
    "xgboost": "an object of XGBoost",
    "lightgbm": "an object of LightGBM",
    "tensorflow": "an object of TensorFlow",
    "keras": "an object of Keras",
    "pandas": "an object of pandas",
    "jax": "arrays of JAX",
    "jaxlib": "arrays of JAX",
    "paddle": "tensors of PaddlePaddle",
    "mxnet": "arrays of MXNet",
}
ALONE = "save the tensors alone, torch.save(model.state_dict(), FILE) or safetensors"


def refuse_foreign(file: str, content: Content) -> None:
    """Raises ConversionFailed where the pickle names anything that is not read as data."""
    if not content.foreign:
        return
    names = content.foreign
    shown = cut(printable(names[0]), NAME_CHARACTERS)
    package = names[0].partition(".")[0]
    if any(MODULES.match(name) for name in names):
        raise ConversionFailed(
            f"{file} holds a whole model (torch.save(model)), an object of {shown}, whose code is "
            f"not run: {ALONE}"
        )
    if names[0] == "torch.storage._load_from_bytes":
        raise ConversionFailed(
            f"{file} was written by pickle or joblib, not by torch.save: {ALONE}"
        )
    if package in OTHERS:
        raise ConversionFailed(
            f"{file} holds {OTHERS[package]} ({shown}), which is not read as data: {ALONE}"
        )
    if isinstance(content.saved, Instance) and content.saved.name == names[0]:
        raise ConversionFailed(
            f"{file} holds an object of {shown}, which is not read as data: {ALONE}"
        )
    raise ConversionFailed(
        f"{file} holds {shown} beside its tensors, which is not read as data: {ALONE}"
    )
