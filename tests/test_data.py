"""Sources of images: what comes out equals Pillow's own, and bad input says why."""

import io
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import keras_vicreg as kv
from keras_vicreg.data import class_names

SHARED = Path(__file__).parents[2] / "shared" / "data"
needs_tensorflow = pytest.mark.skipif(
    "tensorflow" not in sys.modules, reason="tf.data is TensorFlow's"
)


def photograph(seed=0, size=(40, 30)):
    """A smooth random picture, as photographs are; `size` is (width, height)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype="uint8")
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def write(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


@pytest.fixture
def labelled(tmp_path):
    """Two classes in two splits; the test split has photographs of one of them."""
    for split, names in {"train": ("cat", "ant"), "test": ("cat",)}.items():
        for name in names:
            for number in range(3):
                path = tmp_path / split / name / f"{number}.png"
                write(path, photograph(len(name) + number))
    return tmp_path


# The sample


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
    with pytest.raises(ValueError, match=r"`split` of the sample.*Received.*'dev'"):
        kv.load_images("sample", split="dev")


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
        "from keras_vicreg.data import load_images\n"
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


# Folders


def test_folder_uses_splits_and_numbers_the_classes_over_all_of_them(labelled):
    images, labels = kv.load_images(labelled, labels=True)
    assert images.shape == (6, 30, 40, 3)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert class_names(labelled) == ("ant", "cat")
    assert kv.load_images(labelled, split="test", labels=True)[1].tolist() == [1] * 3
    assert len(kv.load_images(labelled, split="all")) == 9
    expected = np.asarray(photograph(len("ant") + 1))
    np.testing.assert_array_equal(images[1], expected)


def test_folder_without_splits_is_a_train_split(labelled):
    folder = labelled / "train"
    assert kv.load_images(str(folder), labels=True)[1].tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(ValueError, match=r"`split` must be one of \['train', 'all'\]"):
        kv.load_images(folder, split="test")
    with pytest.raises(ValueError, match=r"\['test', 'train', 'all'\].*'validation'"):
        kv.load_images(labelled, split="validation")


def test_a_class_may_be_called_train(tmp_path):
    for name in ("bus", "train", "tram"):
        write(tmp_path / name / "0.png", photograph())
    assert class_names(tmp_path) == ("bus", "train", "tram")
    assert len(kv.load_images(tmp_path)) == 3


def test_flat_and_nested_folders_without_labels(tmp_path):
    write(tmp_path / "a.png", photograph(0))
    write(tmp_path / "2024" / "may" / "b.PNG", photograph(1), format="PNG")
    (tmp_path / "._a.png").write_bytes(b"what macOS leaves behind")
    (tmp_path / "notes.txt").write_text("no image")
    images = kv.load_images(tmp_path)
    np.testing.assert_array_equal(images[0], np.asarray(photograph(1)))
    np.testing.assert_array_equal(images[1], np.asarray(photograph(0)))
    assert class_names(tmp_path) is None
    with pytest.raises(ValueError, match=r"`labels=True` needs a source with labels"):
        kv.load_images(tmp_path, labels=True)


def test_missing_folder_file_and_empty_folder(tmp_path):
    with pytest.raises(ValueError, match=r"'/nowhere/at/all' \(no such folder\)"):
        kv.load_images("/nowhere/at/all")
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match=r"notes.txt' \(a file\)"):
        kv.load_images(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match=r"must hold images \(.jpg.*without any"):
        kv.load_images(tmp_path)


# Files


def test_damaged_files_are_named_counted_and_left_out(tmp_path):
    for number in range(4):
        write(tmp_path / f"{number}.jpg", photograph(number, (64, 64)), quality=95)
    whole = (tmp_path / "1.jpg").read_bytes()
    (tmp_path / "1.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "2.jpg").write_bytes(b"\xff\xd8 no more than the first two bytes")
    with pytest.warns(UserWarning, match="Skipped 2 unreadable") as caught:
        images = kv.load_images(tmp_path)
    assert len(images) == 2
    message = str(caught[0].message)
    assert message.startswith("Skipped 2 unreadable image(s): '1.jpg' (")
    assert "truncated" in message
    assert "'2.jpg' (cannot identify" in message
    for number in (0, 3):
        (tmp_path / f"{number}.jpg").write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="Skipped 4"),
        pytest.raises(ValueError, match="4 images, none of them readable"),
    ):
        kv.load_images(tmp_path)


def test_every_kind_of_file_becomes_rgb(tmp_path):
    rgb = photograph()
    grey = rgb.convert("L")
    alpha = Image.fromarray(np.linspace(0, 255, 1200).astype("uint8").reshape(30, 40))
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    deep = np.linspace(0, 65535, 1200).round().astype("uint16").reshape(30, 40)
    palette = rgb.quantize(64)
    expected = {}

    def add(name, image, pixels, **options):
        write(tmp_path / name, image, **options)
        pixels = np.asarray(pixels)
        expected[name] = np.stack([pixels] * 3, -1) if pixels.ndim == 2 else pixels

    add("a_grey.png", grey, grey)
    add("b_one_bit.png", grey.convert("1"), np.asarray(grey.convert("1")) * 255)
    white = np.asarray(alpha)[..., None] / 255
    on_white = np.asarray(rgb) * white + 255 * (1 - white)
    add("c_alpha.png", rgba, on_white)
    add("d_sixteen_bits.png", Image.fromarray(deep), deep / 65535 * 255)
    frames = [photograph(9)]
    add(
        "e_animation.gif",
        palette,
        palette.convert("RGB"),
        append_images=frames,
        save_all=True,
    )
    add("f_lossless.webp", rgb, rgb, lossless=True)
    add("g_lossless_alpha.webp", rgba, on_white, lossless=True, exact=True)
    add("h_palette.png", palette, palette.convert("RGB"))
    see_through = palette.copy()
    hidden = np.asarray(palette) == 3
    pixels = np.where(hidden[..., None], 255, np.asarray(palette.convert("RGB")))
    add("i_palette_alpha.png", see_through, pixels, transparency=3)
    add("j_deep.tif", Image.fromarray(deep), deep / 65535 * 255)
    images = kv.load_images(tmp_path)
    assert images.dtype == np.uint8
    assert hidden.any()
    for image, (name, pixels) in zip(images, expected.items(), strict=True):
        error = np.abs(image - np.float64(pixels)).max()
        assert error <= 1, (name, error)


def test_files_of_unknown_range_are_left_out(tmp_path):
    write(tmp_path / "a.png", photograph())
    write(tmp_path / "b.tif", Image.fromarray(np.zeros((30, 40), "float32")))
    far = np.full((30, 40), 10**6, "int32")
    write(tmp_path / "c.tif", Image.fromarray(far))
    with pytest.warns(UserWarning, match=r"'b.tif' \(floating.*'c.tif' \(pixels outs"):
        assert len(kv.load_images(tmp_path)) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path, orientation):
    upright = np.asarray(photograph())
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    write(tmp_path / "a.png", Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(kv.load_images(tmp_path)[0], upright)


def test_mixed_sizes_need_an_image_size(tmp_path):
    write(tmp_path / "a.png", photograph(0, (40, 30)))
    write(tmp_path / "b.png", photograph(1, (50, 70)))
    with pytest.raises(
        ValueError, match=r"`image_size` must be given.*'a.png' of 30 x 40 px and 'b"
    ):
        kv.load_images(tmp_path)
    images = kv.load_images(tmp_path, image_size=20)
    boxes = [(5, 0, 35, 30), (0, 10, 50, 60)]
    for seed, (image, box) in enumerate(zip(images, boxes)):
        whole = photograph(seed, [(40, 30), (50, 70)][seed])
        expected = whole.resize((20, 20), Image.Resampling.BICUBIC, box)
        np.testing.assert_array_equal(image, np.asarray(expected))
    assert kv.load_images(tmp_path, image_size=(10, 24)).shape == (2, 10, 24, 3)
    for bad in (0, -3, 2.5, (8,), "32"):
        with pytest.raises(ValueError, match="`image_size` must be a positive integer"):
            kv.load_images(tmp_path, image_size=bad)


def test_a_large_jpeg_is_decoded_smaller_with_the_same_result(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype="uint8")
    large = Image.fromarray(noise).resize((1600, 1200), Image.Resampling.BICUBIC)
    write(tmp_path / "a.jpg", large, quality=95)
    image = kv.load_images(tmp_path, image_size=64)[0]
    with Image.open(tmp_path / "a.jpg") as whole:
        box = (200, 0, 1400, 1200)
        exact = np.asarray(whole.resize((64, 64), Image.Resampling.BICUBIC, box))
    error = np.abs(image - np.float64(exact))
    assert error.mean() < 1
    assert error.max() <= 6


# Arrays


def test_arrays_are_checked_and_converted():
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype="uint8")
    assert kv.load_images(images) is images
    np.testing.assert_array_equal(kv.load_images(images.astype("float32")), images)
    np.testing.assert_array_equal(kv.load_images(images.astype("int64")), images)
    grey = kv.load_images(images[..., :1])
    np.testing.assert_array_equal(grey, np.repeat(images[..., :1], 3, -1))
    opaque = np.concatenate([images, np.full((5, 8, 8, 1), 255, "uint8")], -1)
    np.testing.assert_array_equal(kv.load_images(opaque), images)
    opaque[..., 3] = 0
    assert (kv.load_images(opaque) == 255).all()
    pair = kv.load_images((images, np.arange(5)[:, None]), 4, labels=True)
    assert pair[0].shape == (5, 4, 4, 3)
    assert pair[1].tolist() == [0, 1, 2, 3, 4]
    assert class_names(images) is None


def test_bad_arrays_say_what_is_wrong():
    images = np.full((5, 8, 8, 3), 100.0, "float32")
    images[[1, 3], 2, 2, 0] = np.nan
    with pytest.raises(ValueError, match=r"2 of 5 images, the first at index 1"):
        kv.load_images(images)
    bad = [
        (np.zeros((8, 8, 3), "uint8"), r"Received: an array of shape \(8, 8, 3\)"),
        (np.zeros((2, 8, 8, 2), "uint8"), "1, 3 or 4 channels"),
        (np.zeros((0, 8, 8, 3), "uint8"), "be at least one"),
        (np.full((2, 8, 8, 3), 300), "Images must be 0..255.*300"),
        (np.full((2, 8, 8, 3), -1.0), "Images must be 0..255.*-1"),
        (np.full((2, 8, 8, 3), 0.5), "Images must be 0..255.*0.5"),
        (np.full((2, 8, 8, 3), "x"), "Images must be uint8, or other numbers"),
    ]
    for array, message in bad:
        with pytest.raises(ValueError, match=message):
            kv.load_images(array)
    good = np.zeros((2, 8, 8, 3), "uint8")
    for labels in (np.zeros(3, int), np.zeros(2), np.zeros((2, 10), int)):
        with pytest.raises(ValueError, match="one for each of the 2 images"):
            kv.load_images((good, labels), labels=True)
    with pytest.raises(ValueError, match="a ndarray, which has none"):
        kv.load_images(good, labels=True)


# Streams


def numbered(count):
    """Images that carry their own number, to be followed through a shuffle."""
    images = np.zeros((count, 4, 4, 3), "uint8")
    images += np.arange(count, dtype="uint8")[:, None, None, None]
    return images, np.arange(count)


@needs_tensorflow
def test_train_stream_is_shuffled_complete_batches_each_epoch_its_own():
    def epochs(seed):
        stream = kv.load_images(numbered(10), labels=True, batch_size=4, seed=seed)
        assert stream.cardinality() == 2
        assert stream.element_spec[0].shape == (4, 4, 4, 3)
        assert stream.element_spec[0].dtype == "uint8"
        return [[(x.numpy(), y.numpy()) for x, y in stream] for _ in range(2)]

    runs = [epochs(seed) for seed in (1, 1, 2)]
    orders = [[np.concatenate([y for _, y in e]).tolist() for e in r] for r in runs]
    assert orders[0] == orders[1]
    assert orders[0][0] != orders[0][1] != orders[2][1]
    for order in orders[0]:
        assert len(order) == len(set(order)) == 8
    for images, labels in runs[0][0]:
        np.testing.assert_array_equal(images[:, 0, 0, 0], labels)


@needs_tensorflow
def test_other_streams_are_whole_and_in_order(labelled):
    stream = kv.load_images(labelled, 16, split="all", batch_size=4)
    batches = [images.numpy() for images in stream]
    assert [len(images) for images in batches] == [4, 4, 1]
    whole = kv.load_images(labelled, 16, split="all")
    np.testing.assert_array_equal(np.concatenate(batches), whole)


@needs_tensorflow
def test_a_stream_leaves_damaged_files_out_and_keeps_its_steps(tmp_path):
    for number in range(8):
        write(tmp_path / f"{number}.png", Image.new("RGB", (4, 4), (number,) * 3))
    (tmp_path / "0.png").write_bytes(b"damaged")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stream = kv.load_images(tmp_path, batch_size=4)
        epochs = [[images.numpy() for images in stream] for _ in range(3)]
    for seen in epochs:
        assert [images.shape for images in seen] == [(4, 4, 4, 3)] * 2
        seen = np.concatenate(seen)[:, 0, 0, 0]
        assert set(seen) == set(range(1, 8))
    skipped = [str(w.message) for w in caught if "unreadable" in str(w.message)]
    assert len(skipped) == 1
    assert "'0.png'" in skipped[0]


@needs_tensorflow
def test_a_stream_trains_a_model(labelled):
    import keras

    model = keras.Sequential(
        [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    stream = kv.load_images(labelled, 8, labels=True, batch_size=2)
    history = model.fit(stream, epochs=2, verbose=0).history
    assert len(history["loss"]) == 2


@needs_tensorflow
def test_batch_size_fits_the_data():
    for bad in (0, 11, 2.5):
        with pytest.raises(ValueError, match=r"`batch_size` must be.*for 10 images"):
            kv.load_images(numbered(10), batch_size=bad)


@needs_tensorflow
def test_a_dataset_is_passed_through_and_resized_as_pillow_does_it():
    import tensorflow as tf

    smooth = np.stack([np.asarray(photograph(seed, (50, 70))) for seed in range(3)])
    pairs = tf.data.Dataset.from_tensor_slices((smooth, [5, 6, 7]))
    images, labels = next(iter(kv.load_images(pairs, 20, labels=True, batch_size=3)))
    assert labels.numpy().tolist() == [5, 6, 7]
    expected = kv.load_images(smooth, 20)
    assert np.abs(images.numpy() - np.float64(expected)).max() <= 2
    batched = kv.load_images(pairs.batch(2), batch_size=3)
    np.testing.assert_array_equal(next(iter(batched)), smooth)
    whole = kv.load_images(pairs.batch(2), 10, split="test")
    assert [len(images) for images in whole] == [2, 1]
    with pytest.raises(ValueError, match=r"a tf\.data\.Dataset of pairs"):
        kv.load_images(pairs.map(lambda image, label: image), labels=True)
    with pytest.raises(ValueError, match="must give images"):
        kv.load_images(tf.data.Dataset.range(3))


# Data set libraries


@needs_tensorflow
def test_tfds_gives_images_and_labels():
    tfds = pytest.importorskip("tensorflow_datasets")
    folder = SHARED / "tensorflow_datasets"
    if not folder.is_dir():
        pytest.skip("CIFAR-10 is not prepared here")
    split = "test[:60]"
    images, labels = kv.load_images(
        "tfds:cifar10", split=split, labels=True, data_dir=str(folder)
    )
    data = tfds.load("cifar10", split=split, data_dir=folder, as_supervised=True)
    for image, label, (expected, number) in zip(
        images, labels, data.as_numpy_iterator()
    ):
        assert label == number
        # TensorFlow decodes JPEG with a faster, coarser cosine transform.
        assert np.abs(image - np.float64(expected)).mean() < 2
    names = class_names("tfds:cifar10", data_dir=str(folder))
    assert names[:2] == ("airplane", "automobile")
    stream = kv.load_images(
        "tfds:cifar10", split=split, batch_size=25, data_dir=str(folder)
    )
    assert [len(batch) for batch in stream] == [25, 25, 10]
    with pytest.raises(ValueError, match=r"one of \['test', 'train'\].*'dev'"):
        kv.load_images("tfds:cifar10", split="dev", data_dir=str(folder))


@needs_tensorflow
def test_an_unknown_tfds_name_is_one_line(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(ValueError, match="DatasetNotFoundError") as caught:
        kv.load_images("tfds:no_such_data", data_dir=str(tmp_path))
    assert "\n" not in str(caught.value)


def test_hugging_face_gives_images_and_labels(labelled, tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["ant", "cat"])}
    )
    paths = sorted((labelled / "train").glob("*/*.png"))
    rows = {"image": [], "label": []}
    for path in paths:
        rows["image"].append({"bytes": path.read_bytes(), "path": None})
        rows["label"].append(path.parent.name)
    home = tmp_path / "hub"
    home.mkdir()
    datasets.Dataset.from_dict(rows, features).to_parquet(home / "train.parquet")
    source, cache = f"hf:{home}", str(tmp_path / "cache")
    images, labels = kv.load_images(source, labels=True, data_dir=cache)
    expected = kv.load_images(labelled, labels=True)
    np.testing.assert_array_equal(images, expected[0])
    np.testing.assert_array_equal(labels, expected[1])
    assert class_names(source, data_dir=cache) == ("ant", "cat")
    with pytest.raises(ValueError, match=r"`split` one of its splits.*'dev'"):
        kv.load_images(source, split="dev", data_dir=cache)


def test_missing_libraries_are_named_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ValueError, match="pip install datasets"):
        kv.load_images("hf:cifar10")
    with pytest.raises(ValueError, match="pip install tensorflow-datasets"):
        kv.load_images("tfds:cifar10")


def test_good_files_give_no_warning(labelled):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kv.load_images(labelled, image_size=8)


def test_bytes_decode_as_files_do():
    from keras_vicreg.image_files import decode_image

    buffer = io.BytesIO()
    photograph().save(buffer, "PNG")
    np.testing.assert_array_equal(
        decode_image(buffer.getvalue()), np.asarray(photograph())
    )
