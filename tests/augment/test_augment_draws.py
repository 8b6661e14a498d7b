"""What the augmentation layers draw, against the published sampling."""

import math

import keras
import numpy as np
import pytest
from scipy import stats

from keras_vicreg import augment

DRAWS = 10_000
LIKELY = 0.001  # the least p-value of a fixed seed


def drawn(layer, image_shape=(40, 50)):
    """10,000 draws as NumPy arrays, numbers as float64."""
    draws = {}
    for name, values in layer.draw(DRAWS, image_shape).items():
        values = keras.ops.convert_to_numpy(values)
        floats = values.dtype.kind == "f"
        draws[name] = values.astype("float64") if floats else values
    return draws


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


@pytest.mark.parametrize(("side", "most"), [(32, 16), (96, 32), (224, 74)])
def test_operations_and_cuts_are_drawn_alike(side, most):
    draws = drawn(augment.RandomOperations(seed=0), (side, side))
    counts = np.bincount(draws["operation"].ravel(), minlength=13)
    assert len(counts) == 13
    assert stats.chisquare(counts).pvalue > LIKELY
    assert stats.kstest(draws["strength"].ravel(), "uniform").pvalue > LIKELY
    top, bottom, left, right = draws["cut"].T
    np.testing.assert_array_equal(bottom - top, right - left)
    # As published: a length from 1 to the most, of which the half is cut both ways.
    lengths = 2 * ((1 + np.arange(most)) // 2)
    expected = np.bincount(lengths, minlength=most + 1) * DRAWS / most
    found = np.bincount((bottom - top).astype(int), minlength=most + 1)
    some = expected > 0
    assert found[~some].sum() == 0
    assert stats.chisquare(found[some], expected[some]).pvalue > LIKELY
    middle = ((top + bottom) / 2).astype(int)
    assert stats.chisquare(np.bincount(middle, minlength=side)).pvalue > LIKELY
