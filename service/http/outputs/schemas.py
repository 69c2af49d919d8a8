"""What an image's result has besides its predictions, where a request asks for it."""

from __future__ import annotations

from pydantic import BaseModel, Field

Numbers = list[float] | str
BASE64 = "With `encoding_format=base64`: little-endian float32 in base64."


class ClassActivationMap(BaseModel):
    """Where in the crop the evidence for one class lies (Zhou et al. 2016, arXiv 1512.04150).

    The mean of the map plus the class's bias is its logit.
    """

    class_id: int
    label: str
    wnid: str | None = Field(None, description="WordNet id, where the class has one.")
    shape: list[int] = Field(description="Rows and columns.", min_length=2, max_length=2)
    min: float
    max: float
    map: list[list[float]] | str = Field(description=f"Rows, from the top. {BASE64}")
    overlay: str | None = Field(
        None,
        description="With `overlay=true`: a `data:` URL of a PNG with alpha in the image's aspect "
        "ratio, to lay over the image.",
    )


class CropBox(BaseModel):
    """What the network saw of the image: in the image's own pixels, upright."""

    left: float
    top: float
    right: float
    bottom: float
    width: int = Field(description="Of the whole image, upright.")
    height: int = Field(description="Of the whole image, upright.")


class ImageOutputs(BaseModel):
    """Members that are there only where `outputs` asks for them."""

    embedding: Numbers | None = Field(
        None, description=f"The pooled features that the classifier sees. {BASE64}"
    )
    logits: Numbers | None = Field(
        None, description=f"One for each class, before the softmax. {BASE64}"
    )
    class_activation_maps: list[ClassActivationMap] | None = None
    crop_box: CropBox | None = Field(None, description="Beside class activation maps.")
