"""The augmentation layers against Pillow and float64, and what they draw."""

import itertools
import math

import keras
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from scipy import ndimage, stats

import keras_vicreg as kv
from keras_vicreg import augment

LAYERS = [
    augment.RandomResizedCrop(24, scale=(0.2, 0.9), ratio=(0.5, 2.0), seed=1),
    augment.RandomHorizontalFlip(0.3, seed=2),
    augment.ColorJitter(0.8, 0.7, 0.6, 0.2, probability=0.9, seed=3),
    augment.RandomGrayscale(0.4, seed=4),
    augment.RandomGaussianBlur(0.6, sigma=(0.5, 1.5), seed=5),
    augment.RandomSolarize(0.7, threshold=100, seed=6),
]
each_layer = pytest.mark.parametrize(
    "layer", LAYERS, ids=[type(layer).__name__ for layer in LAYERS]
)


@pytest.fixture(scope="module", params=[64, 32])
def photographs(request):
    """200 photographs of the sample, in its size and in 32 px."""
    return kv.load_images("sample", request.param, split="test")[:200]


def apply(layer, images, **parameters):
    """`layer.apply` with NumPy arrays in and out."""
    tensors = {
        name: keras.ops.convert_to_tensor(np.asarray(values))
        for name, values in parameters.items()
    }
    return keras.ops.convert_to_numpy(layer.apply(images, tensors))


def jitter(images, order=(0, 1, 2, 3), **factors):
    """`ColorJitter.apply` with one set of factors for all images, or one for each."""
    neutral = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
    parameters = {
        name: np.broadcast_to(np.float32(value), len(images))
        for name, value in {**neutral, **factors}.items()
    }
    orders = np.broadcast_to(np.int32(order), (len(images), 4))
    every = np.ones(len(images), bool)
    layer = augment.ColorJitter()
    return apply(layer, images, apply=every, order=orders, **parameters)


def pillow(change, images, *arguments):
    """`change(picture, *arguments)` of every image, on Pillow."""
    results = [
        np.asarray(change(Image.fromarray(image), *row), "float64")
        for image, *row in zip(images, *arguments, strict=True)
    ]
    return np.stack(results)


def assert_close(result, expected, most, average):
    """Within `most` everywhere and `average` on average, of 255."""
    difference = np.abs(result - expected)
    assert difference.max() <= most
    assert difference.mean() <= average


# Against Pillow and float64 --------------------------------------------------------


def random_boxes(images, rng):
    """Boxes of whole pixels: arrays top, left, height, width."""
    count, height, width = images.shape[:3]
    heights = rng.integers(4, height + 1, count)
    widths = rng.integers(4, width + 1, count)
    tops = rng.integers(0, height - heights + 1)
    lefts = rng.integers(0, width - widths + 1)
    return tops, lefts, heights, widths


def pillow_crop(picture, top, left, height, width, size, filter_):
    box = picture.crop((left, top, left + width, top + height))
    return box.resize((size[1], height), filter_).resize((size[1], size[0]), filter_)


@pytest.mark.every_backend
@pytest.mark.parametrize("size", [(32, 32), (20, 90)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_crop_is_pillows(photographs, size, interpolation):
    top, left, height, width = random_boxes(photographs, np.random.default_rng(0))
    layer = augment.RandomResizedCrop(size, interpolation=interpolation)
    result = apply(
        layer,
        photographs,
        top=top.astype("float32"),
        left=left.astype("float32"),
        height=height.astype("float32"),
        width=width.astype("float32"),
    )
    filter_ = getattr(Image.Resampling, interpolation.upper())
    boxes = (top, left, height, width)
    expected = pillow(
        lambda picture, *box: pillow_crop(picture, *box, size, filter_),
        photographs,
        *boxes,
    )
    assert_close(result, expected, 2, 0.5)
    assert result.min() >= 0
    assert result.max() <= 255


@pytest.mark.every_backend
def test_crop_of_a_photograph_much_larger_than_the_result(photographs):
    sheet = photographs[:48].reshape(6, 8, *photographs.shape[1:])
    sheet = np.concatenate(np.concatenate(sheet, axis=1), axis=1)[None]
    box = {"top": 5, "left": 11, "height": sheet.shape[1] - 9, "width": 170}
    layer = augment.RandomResizedCrop(24)
    rows = {name: np.float32([value]) for name, value in box.items()}
    expected = pillow(
        lambda picture: pillow_crop(
            picture, *box.values(), (24, 24), Image.Resampling.BICUBIC
        ),
        sheet,
    )
    assert_close(apply(layer, sheet, **rows), expected, 2, 0.5)


def cubic(x):
    """Keys, 1981, a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def resized(signal, size):
    """Resizes the first axis in float64, as Pillow's Resample.c describes it."""
    scale = len(signal) / size
    support = 2 * max(scale, 1)
    rows = []
    for index in range(size):
        centre = (index + 0.5) * scale
        first = max(0, int(centre - support + 0.5))
        last = min(len(signal), int(centre + support + 0.5))
        weights = cubic((np.arange(first, last) + 0.5 - centre) / max(scale, 1))
        rows.append(
            np.tensordot(weights / weights.sum(), signal[first:last], axes=(0, 0))
        )
    return np.clip(rows, 0, 255)


@pytest.mark.every_backend
def test_crop_in_float64(photographs):
    images = photographs[:20]
    boxes = random_boxes(images, np.random.default_rng(1))
    names = ("top", "left", "height", "width")
    rows = {name: values.astype("float32") for name, values in zip(names, boxes)}
    result = apply(augment.RandomResizedCrop((32, 40)), images, **rows)
    for image, output, (top, left, height, width) in zip(images, result, zip(*boxes)):
        box = image[top : top + height, left : left + width].astype("float64")
        wide = resized(box.swapaxes(0, 1), 40).swapaxes(0, 1)
        np.testing.assert_allclose(output, resized(wide, 32), atol=3e-4)


@pytest.mark.every_backend
def test_flip_and_solarize_are_exact(photographs):
    some = np.arange(len(photographs)) % 3 == 0
    for layer, change in (
        (augment.RandomHorizontalFlip(), ImageOps.mirror),
        (augment.RandomSolarize(), lambda picture: ImageOps.solarize(picture, 128)),
    ):
        result = apply(layer, photographs, apply=some)
        expected = pillow(change, photographs)
        np.testing.assert_array_equal(result[some], expected[some])
        np.testing.assert_array_equal(result[~some], photographs[~some])


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("name", "enhancer"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
def test_enhancements_are_pillows(photographs, name, enhancer):
    factors = np.random.default_rng(0).uniform(0.2, 1.8, len(photographs))
    result = jitter(photographs, **{name: factors})
    expected = pillow(
        lambda picture, factor: enhancer(picture).enhance(factor), photographs, factors
    )
    assert_close(result, expected, 1.5, 0.5)


@pytest.mark.every_backend
def test_grey_is_pillows(photographs):
    some = np.arange(len(photographs)) % 3 == 0
    result = apply(augment.RandomGrayscale(), photographs, apply=some)
    expected = pillow(lambda picture: picture.convert("L").convert("RGB"), photographs)
    assert_close(result[some], expected[some], 1.5, 0.5)
    np.testing.assert_array_equal(result[~some], photographs[~some])


def turned(images, turns):
    """Hue rotation in float64 HSV (A. R. Smith, 1978), sector by sector."""
    x = images / 255.0
    value, least = x.max(-1), x.min(-1)
    chroma = value - least
    red, green, blue = np.moveaxis(x, -1, 0)
    with np.errstate(all="ignore"):
        hue = np.select(
            [chroma == 0, value == red, value == green],
            [0.0, (green - blue) / chroma, 2 + (blue - red) / chroma],
            4 + (red - green) / chroma,
        )
        saturation = np.where(value > 0, chroma / value, 0.0)
    hue = (hue / 6 + np.reshape(turns, (-1, 1, 1))) % 1.0 * 6
    sector = np.floor(hue)
    rest = hue - sector
    p = value * (1 - saturation)
    q = value * (1 - saturation * rest)
    t = value * (1 - saturation * (1 - rest))
    table = [(value, t, p), (q, value, p), (p, value, t)]
    table += [(p, q, value), (t, p, value), (value, p, q)]
    planes = [np.choose(sector.astype(int) % 6, column) for column in zip(*table)]
    return np.stack(planes, -1) * 255


def pillow_hue(picture, turn):
    hue, saturation, value = picture.convert("HSV").split()
    moved = (np.asarray(hue).astype(int) + int(turn * 255)) % 256
    hue = Image.fromarray(moved.astype("uint8"))
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


@pytest.mark.every_backend
def test_hue_is_a_rotation(photographs):
    turns = np.random.default_rng(0).uniform(-0.2, 0.2, len(photographs))
    turns = turns.astype("float32")
    result = jitter(photographs, hue=turns)
    expected = turned(photographs.astype("float64"), turns.astype("float64"))
    np.testing.assert_allclose(result, expected, atol=1e-3)
    on_pillow = pillow(pillow_hue, photographs, turns)
    assert np.abs(result - on_pillow).mean() < 0.5


def jittered(image, order, brightness, contrast, saturation, hue):
    """The four changes of one image in float64, one after the other."""
    x = image.astype("float64")
    for change in order:
        grey = x @ (0.299, 0.587, 0.114)
        x = (
            brightness * x,
            contrast * x + (1 - contrast) * grey.mean(),
            saturation * x + (1 - saturation) * grey[..., None],
            turned(x[None], hue)[0],
        )[change]
        x = np.clip(x, 0, 255)
    return x


@pytest.mark.every_backend
def test_every_order_of_the_jitter(photographs):
    orders = list(itertools.permutations(range(4)))
    images = photographs[: len(orders)]
    uniform = np.random.default_rng(0).uniform
    names = ("brightness", "contrast", "saturation", "hue")
    factors = np.float32([uniform(0.4, 1.6, (3, 24)), *[uniform(0.4, 1.6, (3, 24))]])
    factors = np.concatenate([factors[0], np.float32(uniform(-0.2, 0.2, (1, 24)))])
    result = jitter(images, orders, **dict(zip(names, factors)))
    for image, output, order, row in zip(images, result, orders, factors.T):
        expected = jittered(image, order, *row.astype("float64"))
        np.testing.assert_allclose(output, expected, atol=2e-3)


def blurred(image, sigma):
    """A true Gaussian in float64, the border continued with its own pixels."""
    reach = math.ceil(10 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        image = ndimage.correlate1d(image, kernel, axis=axis, mode="nearest")
    return image


@pytest.mark.every_backend
@pytest.mark.parametrize("tiles", [1, 2])  # 2: wide enough for the banded product
def test_blur_is_a_gaussian(photographs, tiles):
    images = np.tile(photographs[:40], (1, tiles, tiles, 1))[:, 3:]
    sigma = np.random.default_rng(0).uniform(0.1, 2.0, len(images)).astype("float32")
    sigma[:2] = 0, 2
    result = apply(augment.RandomGaussianBlur(), images, sigma=sigma)
    np.testing.assert_array_equal(result[0], images[0])
    for image, output, width in zip(images[1:], result[1:], sigma[1:]):
        expected = blurred(image.astype("float64"), float(width))
        np.testing.assert_allclose(output, expected, atol=1e-3)
    on_pillow = pillow(
        lambda picture, width: picture.filter(ImageFilter.GaussianBlur(float(width))),
        images,
        sigma,
    )
    assert np.abs(result - on_pillow).mean() < 0.6


@pytest.mark.every_backend
def test_blur_of_images_narrower_than_the_kernel():
    images = np.random.default_rng(0).uniform(0, 255, (2, 1, 3, 1)).astype("float32")
    result = apply(augment.RandomGaussianBlur(), images, sigma=np.float32([1, 2]))
    for image, output, sigma in zip(images, result, (1, 2)):
        expected = blurred(image.astype("float64"), sigma)
        np.testing.assert_allclose(output, expected, atol=1e-3)


# What is drawn ---------------------------------------------------------------------

DRAWS = 10_000
LIKELY = 0.001  # the least p-value of a fixed seed


def drawn(layer, image_shape=(40, 50)):
    """10,000 draws as NumPy arrays."""
    parameters = layer.draw(DRAWS, image_shape)
    return {k: keras.ops.convert_to_numpy(v) for k, v in parameters.items()}


def published_boxes(rng, shape, scale, ratio):
    """torchvision's `RandomResizedCrop.get_params`, transcribed; 10,000 boxes."""
    height, width = shape
    boxes = np.empty((DRAWS, 4))
    for index in range(DRAWS):
        for _ in range(10):
            area = height * width * rng.uniform(*scale)
            aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
            w = round(math.sqrt(area * aspect))
            h = round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                i = rng.integers(0, height - h + 1)
                j = rng.integers(0, width - w + 1)
                break
        else:
            if width / height < ratio[0]:
                w, h = width, round(width / ratio[0])
            elif width / height > ratio[1]:
                h, w = height, round(height * ratio[1])
            else:
                h, w = height, width
            i, j = (height - h) // 2, (width - w) // 2
        boxes[index] = i, j, h, w
    return boxes.T


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("shape", "scale", "ratio"),
    [
        ((40, 50), (0.08, 1.0), (3 / 4, 4 / 3)),
        ((200, 90), (0.2, 1.0), (3 / 4, 4 / 3)),  # where many tries fail
        ((33, 31), (0.05, 0.14), (0.5, 3.0)),
    ],
)
def test_boxes_are_drawn_as_published(shape, scale, ratio):
    layer = augment.RandomResizedCrop(32, scale=scale, ratio=ratio, seed=0)
    ours = drawn(layer, shape)
    rng = np.random.default_rng(1)
    top, left, height, width = published_boxes(rng, shape, scale, ratio)
    for name, published in (
        ("top", top),
        ("left", left),
        ("height", height),
        ("width", width),
    ):
        assert stats.ks_2samp(ours[name], published).pvalue > LIKELY
    area, aspect = ours["height"] * ours["width"], ours["width"] / ours["height"]
    assert stats.ks_2samp(area, height * width).pvalue > LIKELY
    assert stats.ks_2samp(aspect, width / height).pvalue > LIKELY
    # The place within the room that a box leaves.
    room = shape[0] - ours["height"] > 4
    down = (ours["top"] / (shape[0] - ours["height"]).clip(1))[room]
    expected = (top / (shape[0] - height).clip(1))[shape[0] - height > 4]
    assert stats.ks_2samp(down, expected).pvalue > LIKELY


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("shape", "box"),
    [((10, 100), (0, 43, 10, 13)), ((100, 10), (43, 0, 13, 10))],
)
def test_a_box_that_never_fits_is_the_largest_in_the_centre(shape, box):
    layer = augment.RandomResizedCrop(8, scale=(0.9, 1.0))
    parameters = layer.draw(5, shape)
    for name, expected in zip(("top", "left", "height", "width"), box):
        values = keras.ops.convert_to_numpy(parameters[name])
        np.testing.assert_array_equal(values, expected)


@pytest.mark.every_backend
@pytest.mark.parametrize("probability", [0.0, 0.1, 0.8, 1.0])
@pytest.mark.parametrize(
    "layer_class",
    [
        augment.RandomHorizontalFlip,
        augment.RandomGrayscale,
        augment.RandomSolarize,
        augment.RandomGaussianBlur,
        augment.ColorJitter,
    ],
)
def test_probabilities(layer_class, probability):
    draws = drawn(layer_class(probability=probability, seed=3))
    happened = draws["apply"] if "apply" in draws else draws["sigma"] > 0
    if probability in (0, 1):
        assert happened.mean() == probability
    else:
        test = stats.binomtest(int(happened.sum()), DRAWS, probability)
        assert test.pvalue > LIKELY


@pytest.mark.every_backend
def test_factors_sigma_and_order():
    draws = drawn(augment.ColorJitter(0.4, 0.8, 1.5, 0.1, probability=0.5, seed=4))
    ranges = {
        "brightness": (0.6, 1.4),
        "contrast": (0.2, 1.8),
        "saturation": (0.0, 2.5),  # never below 0
        "hue": (-0.1, 0.1),
    }
    for name, (low, high) in ranges.items():
        uniform = stats.uniform(low, high - low)
        assert stats.kstest(draws[name], uniform.cdf).pvalue > LIKELY
        some = draws[name][draws["apply"]]
        assert stats.kstest(some, uniform.cdf).pvalue > LIKELY
    np.testing.assert_array_equal(np.sort(draws["order"]), [[0, 1, 2, 3]] * DRAWS)
    codes = draws["order"] @ (64, 16, 4, 1)
    counts = np.unique(codes, return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > LIKELY
    sigma = drawn(augment.RandomGaussianBlur(sigma=(0.1, 2.0), seed=5))["sigma"]
    assert stats.kstest(sigma, stats.uniform(0.1, 1.9).cdf).pvalue > LIKELY


@pytest.mark.every_backend
def test_no_two_images_share_a_draw():
    factors = drawn(augment.ColorJitter(seed=7))
    rows = np.stack([factors[n] for n in ("brightness", "contrast", "hue")], axis=1)
    assert len(np.unique(rows, axis=0)) == DRAWS
    correlation = np.corrcoef(rows[:-1, 0], rows[1:, 0])[0, 1]
    assert abs(correlation) < 4 / math.sqrt(DRAWS)


# As Keras layers -------------------------------------------------------------------


@pytest.mark.every_backend
@each_layer
def test_configuration_survives(layer):
    config = layer.get_config()
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert again.get_config() == config
    assert config["seed"] == layer.seed
    images = np.random.default_rng(0).integers(0, 256, (4, 30, 30, 3), "uint8")
    first = type(layer).from_config(config)(images, training=True)
    second = again(images, training=True)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(first), keras.ops.convert_to_numpy(second)
    )


@pytest.mark.every_backend
@each_layer
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_number_of_channels(layer, channels):
    images = np.random.default_rng(0).integers(0, 256, (9, 30, 26, channels), "uint8")
    result = keras.ops.convert_to_numpy(layer(images, training=True))
    assert result.dtype == np.float32
    assert result.shape == tuple(layer.compute_output_shape(images.shape))
    coloured = isinstance(layer, augment.ColorJitter | augment.RandomGrayscale)
    if coloured and channels != 3:
        np.testing.assert_array_equal(result, images)
    else:
        assert not np.array_equal(result, images)
        assert result.min() >= 0
        assert result.max() <= 255


@pytest.mark.every_backend
@each_layer
def test_inference_leaves_images_alone(layer):
    images = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), "uint8")
    result = keras.ops.convert_to_numpy(layer(images, training=False))
    np.testing.assert_array_equal(result, images)


@pytest.mark.every_backend
def test_crop_takes_the_centre_at_inference():
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 60, 3), "uint8")
    layer = augment.RandomResizedCrop((15, 20))
    result = keras.ops.convert_to_numpy(layer(images, training=False))
    box = {"top": 0, "left": 16, "height": 20, "width": 27}
    rows = {name: np.float32([value] * 2) for name, value in box.items()}
    np.testing.assert_array_equal(result, apply(layer, images, **rows))


@pytest.mark.every_backend
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@each_layer
def test_float32_under_any_policy(layer, policy):
    images = np.random.default_rng(0).uniform(0, 255, (4, 30, 30, 3)).astype("float32")
    config = layer.get_config()
    del config["dtype"]
    expected = type(layer)(**config)(images, training=True)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        result = type(layer)(**config)(images, training=True)
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(result), keras.ops.convert_to_numpy(expected)
    )


@pytest.mark.every_backend
@pytest.mark.parametrize("jit_compile", [True, False])
def test_layers_in_a_compiled_model(jit_compile):
    if jit_compile and keras.config.backend() == "torch":
        pytest.skip("torch.compile takes minutes")
    inputs = keras.Input((20, 24, 3))
    x = inputs
    for layer in LAYERS:
        x = type(layer).from_config(layer.get_config())(x)
    outputs = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse", jit_compile=jit_compile)
    images = np.full((8, 20, 24, 3), (200, 90, 30), "uint8")
    history = model.fit(images, np.zeros((8, 3)), epochs=3, verbose=0).history
    assert len(set(history["loss"])) == 3  # other draws in every epoch
    np.testing.assert_allclose(
        model.predict(images, verbose=0), [[200, 90, 30]] * 8, rtol=1e-4
    )


@pytest.mark.every_backend
@each_layer
@pytest.mark.parametrize("known_size", [True, False])
def test_layers_in_tf_data(layer, known_size):
    tf = pytest.importorskip("tensorflow")
    images = np.random.default_rng(0).integers(0, 256, (6, 30, 26, 3), "uint8")
    size = (30, 26) if known_size else (None, None)

    def run(batched):
        again = type(layer).from_config(layer.get_config())
        shape = (None, *size, 3) if batched else (*size, 3)
        rows = [images[:4], images[4:]] if batched else list(images)
        data = tf.data.Dataset.from_generator(
            lambda: iter(rows), output_signature=tf.TensorSpec(shape, "uint8")
        )
        results = [result.numpy() for result in data.map(again)]
        return np.concatenate(results) if batched else np.stack(results)

    for batched in (True, False):
        result = run(batched)
        assert result.dtype == np.float32
        assert result.shape == tuple(layer.compute_output_shape(images.shape))
        assert len(np.unique(result.reshape(6, -1), axis=0)) == 6
        np.testing.assert_array_equal(result, run(batched))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.RandomResizedCrop(0), "`size` must be"),
        (lambda: augment.RandomResizedCrop((8, 8, 8)), "`size` must be"),
        (lambda: augment.RandomResizedCrop(8, scale=(0.5, 0.1)), "`scale` must be"),
        (lambda: augment.RandomResizedCrop(8, scale=(0.5, 1.1)), "`scale` must be"),
        (lambda: augment.RandomResizedCrop(8, ratio=(0, 1)), "`ratio` must be"),
        (lambda: augment.RandomResizedCrop(8, interpolation="best"), "interpolation"),
        (lambda: augment.RandomHorizontalFlip(1.5), "`probability` must be"),
        (lambda: augment.RandomGrayscale("often"), "`probability` must be"),
        (lambda: augment.RandomSolarize(-0.1), "`probability` must be"),
        (lambda: augment.ColorJitter(brightness=-1), "`brightness` must be"),
        (lambda: augment.ColorJitter(hue=0.6), "`hue` must be"),
        (lambda: augment.RandomGaussianBlur(sigma=(0, 1)), "`sigma` must be"),
        (lambda: augment.RandomGaussianBlur(sigma=1.0), "`sigma` must be"),
        (lambda: augment.RandomSolarize(seed="now"), "`seed` must be"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
