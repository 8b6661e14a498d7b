"""The pixels of the augmentation layers against Pillow and against float64.

Here on one backend; test_augment_backends.py holds the others against it.
"""

import itertools
import math

import keras
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage

import keras_vicreg as kv
from keras_vicreg import augment


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


@pytest.mark.parametrize("tiles", [1, 2])  # 2: wide enough for the banded product
def test_blur_is_a_gaussian(photographs, tiles):
    images = photographs if tiles == 1 else photographs[:40]
    images = np.tile(images, (1, tiles, tiles, 1))[:, 3:]
    sigma = np.random.default_rng(0).uniform(0.1, 2.0, len(images)).astype("float32")
    sigma[:2] = 0, 2
    result = apply(augment.RandomGaussianBlur(), images, sigma=sigma)
    np.testing.assert_array_equal(result[0], images[0])
    for image, output, width in zip(images[1:], result[1:], sigma[1:]):
        expected = blurred(image.astype("float64"), float(width))
        np.testing.assert_allclose(output, expected, atol=1e-3)


def test_blur_of_images_narrower_than_the_kernel():
    images = np.random.default_rng(0).uniform(0, 255, (2, 1, 3, 1)).astype("float32")
    result = apply(augment.RandomGaussianBlur(), images, sigma=np.float32([1, 2]))
    for image, output, sigma in zip(images, result, (1, 2)):
        expected = blurred(image.astype("float64"), sigma)
        np.testing.assert_allclose(output, expected, atol=1e-3)


def operations(images, operation, strength, cut=(0, 0, 0, 0), **options):
    """`RandomOperations.apply` of one operation, or of a row of them, an image."""
    rows = len(images)
    operation = np.int32(operation).reshape(-1, np.size(operation))
    return apply(
        augment.RandomOperations(operation.shape[1], **options),
        images,
        operation=np.tile(operation, (rows, 1)),
        strength=np.float32(strength).reshape(rows, -1),
        cut=np.tile(np.float32(cut), (rows, 1)),
    )


def affine(*matrix):
    def change(picture):
        return picture.transform(picture.size, Image.Transform.AFFINE, matrix)

    return change


def enhanced(kind):
    return lambda picture, factor: kind(picture).enhance(factor)


@pytest.mark.parametrize(
    ("operation", "change"),
    [
        ("AUTOCONTRAST", lambda picture, u: ImageOps.autocontrast(picture)),
        ("COLOR", enhanced(ImageEnhance.Color)),
        ("CONTRAST", enhanced(ImageEnhance.Contrast)),
        ("BRIGHTNESS", enhanced(ImageEnhance.Brightness)),
        ("SHARPNESS", enhanced(ImageEnhance.Sharpness)),
        ("SOLARIZE", lambda picture, u: ImageOps.solarize(picture, 256 * u)),
        ("POSTERIZE", lambda picture, u: ImageOps.posterize(picture, 4 + int(4 * u))),
    ],
)
def test_operations_on_colours_are_pillows(photographs, operation, change):
    strength = np.random.default_rng(0).random(len(photographs)).astype("float32")
    number = getattr(augment.operations, operation)
    result = operations(photographs, number, strength)
    given = strength
    if number in range(augment.operations.COLOR, augment.operations.SHARPNESS + 1):
        given = 0.05 + 0.9 * strength
    expected = pillow(change, photographs, given)
    exact = operation in ("SOLARIZE", "POSTERIZE")
    assert_close(result, expected, most=0 if exact else 1.5, average=0.6)
    assert np.abs(result - photographs).mean() > 1


@pytest.mark.parametrize(
    ("operation", "change"),
    [
        ("ROTATE", lambda p, s: p.rotate(30 * s)),
        ("SHEAR_X", lambda p, s: affine(1, 0.1 * s, 0, 0, 1, 0)(p)),
        ("SHEAR_Y", lambda p, s: affine(1, 0, 0, 0.1 * s, 1, 0)(p)),
        ("TRANSLATE_X", lambda p, s: affine(1, 0, 0.1 * s * p.width, 0, 1, 0)(p)),
        ("TRANSLATE_Y", lambda p, s: affine(1, 0, 0, 0, 1, 0.1 * s * p.height)(p)),
    ],
)
def test_operations_that_move_are_pillows(photographs, operation, change):
    signed = np.random.default_rng(0).uniform(-1, 1, len(photographs))
    number = getattr(augment.operations, operation)
    result = operations(photographs, number, (signed + 1) / 2)
    expected = pillow(change, photographs, signed)
    # Pillow computes in fixed point: where a pixel lies on an edge, either is nearest.
    assert (result == expected).mean() > 0.98
    assert (result != photographs).mean() > 0.2


def test_operations_follow_each_other_and_the_cut_comes_last(photographs):
    some = photographs[:20]
    solarize, brightness = augment.operations.SOLARIZE, augment.operations.BRIGHTNESS
    strength = np.tile(np.float32([0.5, 0.25]), (20, 1))
    result = operations(
        some, [solarize, brightness], strength, cut=(2, 6, 10, 12), fill=7
    )
    expected = np.where(some >= 128, 255.0 - some, some) * (0.05 + 0.9 * 0.25)
    expected[:, 2:6, 10:12] = 7
    np.testing.assert_allclose(result, expected, atol=1e-3)
    assert operations(some, 0, np.zeros(20)).tobytes() == np.float32(some).tobytes()
