"""Which classes and functions a pickle may name."""

from __future__ import annotations

import pytest

from model_builder.checkpoints.formats.pytorch.pickles.known_names import is_known, storage_dtype


@pytest.mark.parametrize(
    "name",
    [
        "torch._utils._rebuild_tensor_v2",
        "torch.nn.parameter.Parameter",
        "torch.FloatStorage",
        "torch.cuda.HalfStorage",
        "torch.storage.UntypedStorage",
        "torch.bfloat16",
        "torch.float8_e4m3fn",
        "torch.Size",
        "collections.OrderedDict",
        "collections.Counter",
        "argparse.Namespace",
        "pathlib.PosixPath",
        "pathlib._local.PosixPath",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray._reconstruct",
        "numpy.dtypes.Float64DType",
        "numpy.float64",
        "numpy.int64",
        "datetime.timedelta",
        "omegaconf.listconfig.ListConfig",
        "pytorch_lightning.utilities.parsing.AttributeDict",
        "lightning.fabric.utilities.data.AttributeDict",
        "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
        "mmengine.logging.history_buffer.HistoryBuffer",
        "mmengine.config.config.ConfigDict",
        "easydict.EasyDict",
        "yacs.config.CfgNode",
        "functools.partial",
    ],
)
def test_values_are_known(name: str) -> None:
    assert is_known(name)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "posix.system",
        "nt.system",
        "subprocess.Popen",
        "builtins.eval",
        "builtins.exec",
        "builtins.__import__",
        "__builtin__.apply",
        "importlib.import_module",
        "runpy._run_code",
        "webbrowser.open",
        "torch.load",
        "torch.hub.load",
        "torch.jit.load",
        "torch.storage._load_from_bytes",
        "torch.serialization.load",
        "numpy.load",
        "numpy.f2py.diagnose.run",
        "numpy.testing._private.utils.runstring",
        "pathlib.Path.touch",
        "argparse.Namespace.__init__",
        "collections.OrderedDict\n",
        "xcollections.OrderedDict",
        "torch.nn.modules.linear.Linear",
        "torchvision.models.resnet.ResNet",
        "__main__.Net",
        "operator.attrgetter",
        "types.FunctionType",
        "codecs.open",
    ],
)
def test_others_are_not(name: str) -> None:
    assert not is_known(name)


def test_storages_have_dtypes() -> None:
    assert storage_dtype("torch.BFloat16Storage") == "bfloat16"
    assert storage_dtype("torch.UntypedStorage") == ""
    assert storage_dtype("torch.Storage") is None
