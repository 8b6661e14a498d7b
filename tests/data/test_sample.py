"""The embedded sample: the photographs of its source, small, at hand at once."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import keras_vicreg as kv
from keras_vicreg.data.loading import class_names

SHARED = Path(__file__).parents[3] / "shared" / "data"


def test_sample_has_the_splits_and_classes_of_its_source():
    sizes = {"train": 3068, "validation": 341, "test": 372, "all": 3781}
    for split, count in sizes.items():
        images, labels = kv.load_images("sample", split=split, labels=True)
        assert images.shape == (count, 64, 64, 3)
        assert images.dtype == np.uint8
        assert labels.shape == (count,)
        assert labels.dtype == np.int64
        assert set(labels) == set(range(10))
    assert len(class_names("sample")) == 10
    with pytest.raises(ValueError, match=r"`split` of the sample.*Received.*'other'"):
        kv.load_images("sample", split="other")


def test_sample_tiles_are_the_photographs_of_the_source():
    folder = SHARED / "clothing"
    if not folder.is_dir():
        pytest.skip("the source of the sample is not here")
    images, labels = kv.load_images("sample", split="test", labels=True)
    for index, path in enumerate(sorted(folder.glob("test/*/*"), key=lambda p: p.name)):
        if index % 20:
            continue
        assert class_names("sample")[labels[index]] == path.parent.name
        with Image.open(path) as whole:
            side, (width, height) = min(whole.size), whole.size
            box = [(width - side) / 2, (height - side) / 2]
            box += [box[0] + side, box[1] + side]
            tile = np.asarray(whole.resize((64, 64), Image.Resampling.BICUBIC, box))
        error = np.square(images[index] - np.float64(tile)).mean()
        assert 10 * np.log10(255**2 / error) > 28  # dB, what JPEG takes


def test_sample_is_resized_with_antialiasing():
    images = kv.load_images("sample", split="test")
    small = kv.load_images("sample", image_size=32, split="test")
    for index in range(0, 372, 40):
        image = Image.fromarray(images[index])
        expected = image.resize((32, 32), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(small[index], np.asarray(expected))


def test_sample_is_small_and_loads_in_a_moment():
    folder = Path(kv.__file__).parent / "sample"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 8e6
    start = time.process_time()
    kv.load_images("sample", image_size=32)
    assert time.process_time() - start < 5


def test_sample_needs_no_tensorflow():
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from keras_vicreg.data.loading import load_images\n"
        "assert load_images('sample', 32, 'test').shape == (372, 32, 32, 3)\n"
        "try: load_images('sample', batch_size=8)\n"
        "except ValueError as error: print(error)\n"
    )
    root = Path(kv.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "`batch_size` needs TensorFlow" in done.stdout
