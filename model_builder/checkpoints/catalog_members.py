"""Published weights of the family's other members, as rows of `catalog`.

Accuracies: torchvision's from its `ResNeXt50_32X4D_Weights` and the like, GluonCV's from
results/results-imagenet.csv of timm's repository, all at 224 pixels. No row states a sha256: each
file is verified against the hub's ETag.
"""

from __future__ import annotations

from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.publishers import BAG_OF_TRICKS, GLUON, TV, TV2, timm

WIDE = "https://arxiv.org/abs/1605.07146"
RESNEXT = "https://arxiv.org/abs/1611.05431"

MEMBER_CHECKPOINTS: tuple[Checkpoint, ...] = (
    timm("wide_resnet50_2.tv_in1k", TV, WIDE, 78.468, 94.086),
    timm("wide_resnet50_2.tv2_in1k", TV2, WIDE, 81.602, 95.758),
    timm("wide_resnet101_2.tv_in1k", TV, WIDE, 78.848, 94.284),
    timm("wide_resnet101_2.tv2_in1k", TV2, WIDE, 82.51, 96.02),
    timm("resnext50_32x4d.tv_in1k", TV, RESNEXT, 77.618, 93.698),
    timm("resnext50_32x4d.tv2_in1k", TV2, RESNEXT, 81.198, 95.34),
    timm("resnext101_32x8d.tv_in1k", TV, RESNEXT, 79.312, 94.526),
    timm("resnext101_32x8d.tv2_in1k", TV2, RESNEXT, 82.834, 96.228),
    timm("resnext50_32x4d.gluon_in1k", GLUON, BAG_OF_TRICKS, 79.36, 94.43),
    timm("resnext101_32x4d.gluon_in1k", GLUON, BAG_OF_TRICKS, 80.34, 94.93),
    timm("resnext101_64x4d.gluon_in1k", GLUON, BAG_OF_TRICKS, 80.6, 94.992),
    timm("resnet50c.gluon_in1k", GLUON, BAG_OF_TRICKS, 78.012, 93.988),
    timm("resnet50d.gluon_in1k", GLUON, BAG_OF_TRICKS, 79.078, 94.468),
    timm("resnet50s.gluon_in1k", GLUON, BAG_OF_TRICKS, 78.718, 94.242),
    timm("resnet101c.gluon_in1k", GLUON, BAG_OF_TRICKS, 79.542, 94.586),
    timm("resnet101d.gluon_in1k", GLUON, BAG_OF_TRICKS, 80.426, 95.024),
    timm("resnet101s.gluon_in1k", GLUON, BAG_OF_TRICKS, 80.302, 95.15),
    timm("resnet152c.gluon_in1k", GLUON, BAG_OF_TRICKS, 79.91, 94.844),
    timm("resnet152d.gluon_in1k", GLUON, BAG_OF_TRICKS, 80.476, 95.202),
    timm("resnet152s.gluon_in1k", GLUON, BAG_OF_TRICKS, 81.002, 95.41),
)

# By member: the most accurate row.
MEMBER_DEFAULTS: dict[str, str] = {
    row.family: max(
        (other for other in MEMBER_CHECKPOINTS if other.family == row.family),
        key=lambda other: other.top1_percent or 0,
    ).name
    for row in MEMBER_CHECKPOINTS
}
