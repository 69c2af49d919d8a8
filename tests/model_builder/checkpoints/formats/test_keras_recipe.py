"""What Keras networks do to images themselves, read into the recipe, compared with the network."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from model_builder.artifact.preprocessing import Preprocessing
from model_builder.checkpoints.formats.keras.config import KerasConfig, read_config
from model_builder.checkpoints.formats.keras.image_steps import IMAGE_LAYERS
from model_builder.checkpoints.formats.keras.layers import WITHOUT_EFFECT
from model_builder.checkpoints.formats.keras.recipe import recipe_of
from model_builder.errors import ConversionFailed

EDGE = 32
preprocess_input = keras.applications.resnet.preprocess_input


def config_of(network: keras.Model) -> dict[str, Any]:
    """As it is in a file."""
    config: dict[str, Any] = json.loads(json.dumps(keras.saving.serialize_keras_object(network)))
    return config


def classified(image: Any, prepared: Any, classes: int = 3) -> keras.Model:
    """A network of one convolution behind what prepares its images."""
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="conv1")(prepared))
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x))


def read(network: keras.Model) -> KerasConfig:
    return read_config(config_of(network))


def fields_of(network: keras.Model) -> dict[str, Any]:
    config = read(network)
    tensors = {
        f"{one.path.split('/')[-2]}/{one.path.split('/')[-1]}": np.asarray(one)
        for one in network.weights
    }
    recipe = recipe_of(config.image, getattr(config.classifier, "pool_edge", None), tensors)
    return {} if recipe is None else dict(recipe.fields)


def adapted() -> layers.Normalization:
    layer = layers.Normalization(name="adapted")
    layer.adapt(np.random.default_rng(0).uniform(0, 255, (8, 4, 4, 3)))
    return layer


PREPARING: dict[str, Callable[[Any], Any]] = {
    "rescaling": layers.Rescaling(1 / 255),
    "offset": layers.Rescaling(1 / 127.5, offset=-1),
    "channels": layers.Rescaling([1 / 50, 1 / 60, 1 / 70], offset=[-2, -1, -0.5]),
    "normalization": layers.Normalization(mean=[120.0, 110, 100], variance=[2500.0, 2000, 900]),
    "adapted": adapted(),
    "both": lambda x: layers.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.05, 0.04, 0.06])(
        layers.Rescaling(1 / 255)(x)
    ),
    "caffe": preprocess_input,
    "tf": keras.applications.resnet_v2.preprocess_input,
    "operators": lambda x: (x / 127.5) - 1.0,
    "reversed": lambda x: -1.0 + 0.01 * x,
    "constants": lambda x: (x - np.array([10, 20, 30], np.float32)) / 50.0,
    "flipped": lambda x: layers.Rescaling(1 / 255)(keras.ops.flip(x, axis=-1)),
    "sliced": lambda x: layers.Rescaling(1 / 255)(x[..., ::-1]),
    "cast": lambda x: layers.Rescaling(1 / 255)(keras.ops.cast(x, "float32")),
    "nested": keras.Sequential([layers.RandomFlip(), layers.Rescaling(1 / 255)]),
}


@pytest.mark.parametrize("name", PREPARING)
def test_the_recipe_does_what_the_network_does(name: str) -> None:
    image = keras.Input((EDGE, EDGE, 3))
    prepared = PREPARING[name](image)
    fields = fields_of(classified(image, prepared))
    recipe = Preprocessing(resize_edge=EDGE, interpolation="bilinear", **fields)
    pixels = np.random.default_rng(1).integers(0, 256, (1, EDGE, EDGE, 3)).astype(np.float32)
    expected = np.asarray(keras.Model(image, prepared)(pixels, training=False))
    channels = pixels[..., ::-1] if recipe.channel_order == "BGR" else pixels
    received = (channels - np.array(recipe.mean)) / np.array(recipe.std)
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-4)


def test_known_recipes_are_exact() -> None:
    image = keras.Input((EDGE, EDGE, 3))
    caffe = fields_of(classified(image, preprocess_input(image)))
    assert caffe["channel_order"] == "BGR"
    assert caffe["mean"] == pytest.approx((103.939, 116.779, 123.68))
    assert caffe["std"] == (1.0, 1.0, 1.0)
    unscaled = fields_of(classified(image, layers.Rescaling(1 / 255)(image)))
    assert (unscaled["mean"], unscaled["std"]) == ((0.0,) * 3, pytest.approx((255.0,) * 3))


def test_a_lambda_that_calls_preprocess_input_by_name() -> None:
    image = keras.Input((EDGE, EDGE, 3))
    network = classified(image, layers.Lambda(preprocess_input)(image))
    assert fields_of(network)["mean"] == pytest.approx((103.939, 116.779, 123.68))


def test_a_normalization_alone_on_pixels_of_0_to_1() -> None:
    image = keras.Input((EDGE, EDGE, 3))
    layer = layers.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.0524, 0.0502, 0.0506])
    fields = fields_of(classified(image, layer(image)))
    assert fields["mean"] == pytest.approx((123.675, 116.28, 103.53), rel=1e-3)
    assert fields["std"] == pytest.approx((58.4, 57.1, 57.4), rel=1e-2)


def test_what_prepares_nothing_leaves_it_open() -> None:
    image = keras.Input((EDGE, EDGE, 3))
    assert fields_of(classified(image, image)) == {"crop_size": EDGE}
    of_any_size = keras.Input((None, None, 3))
    assert fields_of(classified(of_any_size, of_any_size)) == {}


def test_grey_images() -> None:
    image = keras.Input((EDGE, EDGE, 1))
    fields = fields_of(classified(image, layers.Rescaling(1 / 127.5, offset=-1)(image)))
    assert fields["channel_order"] == "L"
    assert fields["mean"] == fields["std"] == pytest.approx((127.5,) * 3)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"resize_mode": "squash", "interpolation": "bilinear", "antialias": False}),
        ({"interpolation": "nearest"}, {"interpolation": "nearest"}),
        ({"interpolation": "bicubic", "antialias": True}, {"interpolation": "bicubic"}),
        ({"antialias": True}, {"antialias": True}),
        ({"crop_to_aspect_ratio": True}, {"resize_mode": "crop"}),
        (
            {"pad_to_aspect_ratio": True, "fill_value": 7.0},
            {"resize_mode": "letterbox", "fill": (7, 7, 7)},
        ),
    ],
)
def test_resizing(options: dict[str, Any], expected: dict[str, Any]) -> None:
    image = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(layers.Resizing(EDGE, EDGE, **options)(image))
    fields = fields_of(classified(image, x))
    assert fields["resize_edge"] == fields["crop_size"] == EDGE
    assert {field: fields[field] for field in expected} == expected


def test_resizing_whose_filter_is_not_ours_leaves_it_open() -> None:
    """TensorFlow's bicubic without antialiasing is not PyTorch's."""
    image = keras.Input((None, None, 3))
    x = layers.Resizing(EDGE, EDGE, interpolation="bicubic")(image)
    assert fields_of(classified(image, x)).keys() == {"resize_mode", "resize_edge", "crop_size"}


def test_borders_are_filled_with_a_color_of_the_scale_that_they_are_on() -> None:
    image = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)
    x = layers.Resizing(EDGE, EDGE, pad_to_aspect_ratio=True, fill_value=1.0)(x)
    assert fields_of(classified(image, x))["fill"] == (255, 255, 255)


def test_a_center_crop_behind_a_resize() -> None:
    image = keras.Input((None, None, 3))
    x = layers.CenterCrop(28, 28)(layers.Resizing(EDGE, EDGE)(image))
    fields = fields_of(classified(image, x))
    assert (fields["resize_edge"], fields["crop_size"]) == (EDGE, 28)


def test_average_pooling_and_flatten_fix_the_size_of_images() -> None:
    def network(shape: Any) -> keras.Model:
        image = keras.Input(shape)
        x = layers.Conv2D(4, 1, strides=32)(image)
        x = layers.Flatten()(layers.AveragePooling2D(7)(x))
        return keras.Model(image, layers.Dense(3)(x))

    assert fields_of(network((224, 224, 3)))["crop_size"] == 224
    with pytest.raises(ConversionFailed, match="averages 7 x 7 of a map of 8 x 8, and ours all"):
        fields_of(network((256, 256, 3)))


UNLIKE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "invert": (layers.Normalization(mean=1.0, variance=2.0, invert=True), "that no recipe states"),
    "negative": (lambda x: 1.0 - x / 255.0, "that no recipe states"),
    "negated": (lambda x: x * -1.0, "no recipe has channels in the order"),
    "two sizes": (layers.Resizing(32, 48), "makes images of 32 x 48"),
    "twice": (lambda x: layers.Resizing(9, 9)(layers.Resizing(8, 8)(x)), "second that resizes"),
    "order": (
        lambda x: keras.ops.stack([x[..., 1], x[..., 0], x[..., 2]], axis=-1),
        r"no recipe has channels in the order \[1, 0, 2\]",
    ),
    "sum": (lambda x: x + x, "that no recipe states"),
    "crop": (lambda x: x[:, 1:], "that no recipe states"),
    "pooled": (layers.MaxPooling2D(), "no such layer: before the first convolution"),
    "batch norm": (layers.BatchNormalization(), "no such layer: before the first convolution"),
    "dense": (layers.Dense(3), "no such layer: before the first convolution"),
    "reshaped": (layers.Reshape((EDGE, EDGE, 3)), "a layer that ResNets don't have"),
    "code": (layers.Lambda(lambda x: x / 2), "or carries code, which is never run"),
    "arguments": (
        layers.Lambda(preprocess_input, arguments={"data_format": None}),
        "or carries code, which is never run",
    ),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_what_no_recipe_states_is_refused(name: str) -> None:
    prepare, said = UNLIKE[name]
    image = keras.Input((EDGE, EDGE, 3))
    network = classified(image, prepare(image))
    with pytest.raises(ConversionFailed, match=said):
        fields_of(network)


def keras_2(kind: str, name: str, function: str, node: list[Any]) -> dict[str, Any]:
    config = {"name": name, "trainable": True, "dtype": "float32", "function": function}
    return {"class_name": kind, "config": config, "name": name, "inbound_nodes": [node]}


def test_preprocess_input_as_keras_2_writes_it() -> None:
    """As TensorFlow 2.4 to 2.15 do: operations as layers, one call a list."""
    conv = config_of(classified(image := keras.Input((EDGE, EDGE, 3)), image))
    keras_3 = {layer["class_name"]: layer for layer in conv["config"]["layers"]}
    reverse = [
        *({"start": None, "stop": None, "step": None} for _ in range(3)),
        {"start": None, "stop": None, "step": -1},
    ]
    getitem = ["input_1", 0, 0, {"slice_spec": reverse}]
    bias = ["getitem", 0, 0, {"bias": [-103.939, -116.779, -123.68], "data_format": "NHWC"}]
    following = {"Conv2D": "bias_add", "GlobalAveragePooling2D": "conv1", "Dense": "pool"}
    names = {"Conv2D": "conv1", "GlobalAveragePooling2D": "pool", "Dense": "fc"}
    shape = {"batch_input_shape": [None, EDGE, EDGE, 3], "name": "input_1"}
    config = {
        "class_name": "Functional",
        "config": {
            "name": "model",
            "layers": [
                {
                    "class_name": "InputLayer",
                    "config": shape,
                    "name": "input_1",
                    "inbound_nodes": [],
                },
                keras_2("SlicingOpLambda", "getitem", "__operators__.getitem", getitem),
                keras_2("TFOpLambda", "bias_add", "nn.bias_add", bias),
                *(
                    {
                        "class_name": kind,
                        "config": {**keras_3[kind]["config"], "name": names[kind]},
                        "name": names[kind],
                        "inbound_nodes": [[[before, 0, 0, {}]]],
                    }
                    for kind, before in following.items()
                ),
            ],
            "input_layers": [["input_1", 0, 0]],
            "output_layers": [["fc", 0, 0]],
        },
    }
    read_of = read_config(config)
    recipe = recipe_of(read_of.image, None, {})
    assert recipe is not None
    assert recipe.fields["channel_order"] == "BGR"
    assert recipe.fields["mean"] == pytest.approx((103.939, 116.779, 123.68))
    assert recipe.source == "the network's own getitem, bias_add, its input's shape"


# Each with arguments that would show.
MADE: dict[str, dict[str, Any]] = {
    "AlphaDropout": {"rate": 0.5},
    "Dropout": {"rate": 0.5},
    "GaussianDropout": {"rate": 0.5},
    "GaussianNoise": {"stddev": 0.9},
    "RandomBrightness": {"factor": 0.5},
    "RandomColorDegeneration": {"factor": 0.5},
    "RandomContrast": {"factor": 0.5},
    "RandomHue": {"factor": 0.5},
    "RandomPosterization": {"factor": 4},
    "RandomRotation": {"factor": 0.5},
    "RandomSaturation": {"factor": 0.5},
    "RandomSharpness": {"factor": 0.5},
    "RandomTranslation": {"height_factor": 0.5, "width_factor": 0.5},
    "RandomZoom": {"height_factor": 0.5},
    "SpatialDropout2D": {"rate": 0.5},
}
OF_KERAS_2 = {"RandomHeight", "RandomWidth"}


@pytest.mark.parametrize("name", sorted(WITHOUT_EFFECT - OF_KERAS_2))
def test_layers_without_an_effect_have_none_at_inference(name: str) -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    layer = getattr(layers, name)(**MADE.get(name, {}))
    np.testing.assert_array_equal(np.asarray(layer(pixels, training=False)), pixels)
    assert name not in IMAGE_LAYERS


def nested(depth: int) -> dict[str, Any]:
    """A network that calls a network twice, which calls a network twice, and so on."""
    image: dict[str, Any] = {
        "class_name": "InputLayer",
        "config": {"name": "image", "batch_shape": [None, EDGE, EDGE, 3]},
        "name": "image",
        "inbound_nodes": [],
    }
    layers_ = [image]
    if depth:
        inner = nested(depth - 1)
        first, second = [["image", 0, 0, {}]], [["inner", 0, 0, {}]]
        layers_.append({**inner, "name": "inner", "inbound_nodes": [first, second]})
    outputs = [["inner", 1, 0]] if depth else [["image", 0, 0]]
    return {
        "class_name": "Functional",
        "config": {"name": "inner", "layers": layers_, "output_layers": outputs},
    }


def test_networks_within_networks_end() -> None:
    """Twenty levels of two calls are a million."""
    assert read_config(nested(3)).image is None
    with pytest.raises(ConversionFailed, match="more than 50000 calls of layers"):
        read_config(nested(20))


@pytest.mark.parametrize("shape", [[None, 8, 9, 3], [None, 8, 8, 4], [None, 8, 8, 1e9]])
def test_images_of_other_shapes_are_refused(shape: list[Any]) -> None:
    config = nested(0)
    config["config"]["layers"][0]["config"]["batch_shape"] = shape
    with pytest.raises(ConversionFailed, match=r"Images (are square|have 3 channels or 1)"):
        read_config(config)


def test_an_image_of_no_size_is_refused() -> None:
    config = nested(0)
    config["config"]["layers"][0]["config"]["batch_shape"] = [None, 1e999, 1e999, 3]
    with pytest.raises(ConversionFailed, match="config can't be read"):
        read_config(config)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scale": 0.0}, "no recipe has channels in the order"),
        ({"scale": float("nan")}, "no recipe has channels in the order"),
        ({"scale": [1, 2]}, "has 2 numbers, and an image 3 channels"),
        ({"scale": [[]] * 1000}, "has 0 numbers, and an image 3 channels"),
        ({"scale": {}}, "config can't be read"),
        ({"offset": "x"}, "config can't be read"),
    ],
)
def test_nonsense_in_a_config_is_refused(changes: dict[str, Any], said: str) -> None:
    image = keras.Input((EDGE, EDGE, 3))
    config = config_of(classified(image, layers.Rescaling(1 / 255)(image)))
    config["config"]["layers"][1]["config"] |= changes
    with pytest.raises(ConversionFailed, match=said):
        recipe_of(read_config(config).image, None, {})
