"""The classes and functions that a pickle may name: tensors, containers, and values."""

from __future__ import annotations

import re

# torch.FloatStorage and the others by their dtype.
STORAGES = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "ComplexDouble": "complex128",
    "ComplexFloat": "complex64",
    "QInt8": "qint8",
    "QUInt8": "quint8",
    "QInt32": "qint32",
    "QUInt4x2": "quint4x2",
    "QUInt2x4": "quint2x4",
    "Untyped": "",
}
STORAGE = re.compile(rf"torch\.(?:cuda\.|storage\.)?({'|'.join(STORAGES)})Storage")
DTYPE = re.compile(
    r"torch\.(?:q?u?int\d+|bfloat16|b?float\w*|half|double|complex\w+|bool|long|short)"
)
# Values that change no tensor: read as data, and looked through for tensors where they hold others.
VALUES = re.compile(
    r"""(?:__builtin__|builtins)\.(?:bool|bytearray|bytes|complex|dict|float|frozenset|getattr|int|list
        |object|range|set|xrange|slice|str|tuple|unicode|long)
    |collections\.(?:Counter|OrderedDict|defaultdict|deque|UserDict|ChainMap)
    |(?:copyreg|copy_reg)\._reconstructor
    |argparse\.Namespace|types\.SimpleNamespace
    |datetime\.(?:date|datetime|time|timedelta|timezone)
    |decimal\.Decimal|fractions\.Fraction|uuid\.(?:UUID|SafeUUID)
    |pathlib\.(?:\w+\.)?(?:Pure)?(?:Posix|Windows)?Path
    |numpy\.(?:ndarray|dtype|bool_?|str_|bytes_|void|u?int\w{0,4}|float\w{0,3}|complex\w{0,3}
        |datetime64|timedelta64|longdouble|half|single|double)
    |numpy\.dtypes\.\w+DType
    |numpy\.(?:_core|core)\.multiarray\.(?:scalar|_reconstruct)
    |numpy\.(?:_core|core)\.numeric\._frombuffer
    |numpy\.random\.\w+\.\w+
    |_codecs\.encode
    |torch\.(?:Size|device|layout|memory_format|Tensor|Generator|_tensor\.Tensor|Tensor\.\w+Tensor)
    |torch\.nn\.parameter\.(?:Parameter|Buffer|UninitializedParameter)
    |torch\.(?:nn\.)?Parameter
    |torch\.serialization\._get_layout
    |torch\._utils\._rebuild_\w+
    |torch\._tensor\._rebuild_from_type_v2
    |torch\.(?:per_tensor|per_channel)\w*|torch\.strided
    |torch\.torch_version\.TorchVersion
    |torch\.(?:optim|amp|cuda\.amp)\.(?:\w+\.)*\w+
    |functools\.partial
    |torch\.distributed\._shard\.\w+(?:\.\w+)*
    |torchvision\.transforms\.(?:\w+\.)*InterpolationMode
    |torchvision\.models\.\w+\.\w+_Weights
    |PIL\.Image\.(?:Resampling|Transpose)
    |(?:pytorch_lightning|lightning|lightning_fabric|lightning_utilities)\.(?:\w+\.)*
        (?:AttributeDict|ModelCheckpoint|EarlyStopping|LearningRateMonitor|ModelSummary
        |\w*ProgressBar|Timer|StochasticWeightAveraging|GradientAccumulationScheduler|EMA\w*
        |RunningStage|_?TrainerFn|TrainerFn|TrainerStatus|WeightAveraging)
    |omegaconf\.(?:\w+\.)*\w+
    |typing\.(?:Any|Union|Optional|List|Dict|Tuple)
    |easydict\.EasyDict|yacs\.config\.CfgNode|(?:fvcore\.common|detectron2)\.config\.(?:\w+\.)?CfgNode
    |(?:mmengine|mmcv)\.(?:\w+\.)*ConfigDict|addict\.(?:addict\.)?Dict
    |mmengine\.logging\.history_buffer\.HistoryBuffer
    |ml_collections\.(?:\w+\.)*ConfigDict|munch\.Munch|box\.(?:box\.)?Box
    |fastcore\.(?:foundation|basics)\.(?:L|AttrDict)
    |deepspeed\.runtime\.(?:\w+\.)*\w+|deepspeed\.utils\.(?:\w+\.)*\w+
    |transformers\.(?:trainer_utils|training_args)\.\w+""",
    re.VERBOSE,
)


def is_known(name: str) -> bool:
    """Whether what a pickle names is read as data. Every other name is refused."""
    return any(pattern.fullmatch(name) for pattern in (STORAGE, DTYPE, VALUES))


def storage_dtype(name: str) -> str | None:
    """The dtype of a storage class: "float32" for "torch.FloatStorage"; "" where it has none."""
    found = STORAGE.fullmatch(name)
    return None if found is None else STORAGES[found[1]]
