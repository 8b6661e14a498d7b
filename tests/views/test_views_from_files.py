"""`TwoViews.from_files`: image files that are decoded only where their crops lie."""

import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import toys
from PIL import ExifTags, Image

import keras_vicreg as kv
from keras_vicreg import augment
from keras_vicreg.data.image_files import decode_image
from keras_vicreg.views import file_crops
from keras_vicreg.views.files import FileViews, large_photographs

tf = pytest.importorskip("tensorflow")

BOXES = tf.TensorSpec((2, 4), "int32")


@pytest.fixture(scope="module")
def photograph():
    """15 photographs of the sample side by side, `(189, 317, 3)`."""
    tiles = kv.load_images("sample", split="test")[:15].reshape(3, 5, 64, 64, 3)
    return np.concatenate(np.concatenate(tiles, axis=1), axis=1)[:189, :317]


@pytest.fixture(scope="module")
def files(photograph, tmp_path_factory):
    """Files of several formats, sizes and colour models."""
    folder = tmp_path_factory.mktemp("files")
    picture = Image.fromarray(photograph)
    picture.save(folder / "0.jpg", quality=80)
    picture.save(folder / "1.jpg", quality=95, subsampling=0, progressive=True)
    picture.crop((0, 0, 40, 130)).convert("L").save(folder / "2.jpg")
    picture.save(folder / "3.png")
    picture.crop((7, 5, 20, 14)).save(folder / "4.bmp")
    picture.convert("P").save(folder / "5.gif")
    sideways = Image.Exif()
    sideways[ExifTags.Base.Orientation] = 6
    picture.save(folder / "6.jpg", exif=sideways)
    picture.convert("CMYK").save(folder / "7.jpg")
    picture.save(folder / "8.webp", lossless=True)
    picture.save(folder / "9.tiff")
    return sorted(str(path) for path in folder.iterdir())


@pytest.mark.every_backend
def test_views_are_those_of_the_decoded_images(files):
    views = list(kv.TwoViews(48, "vicreg", seed=1).from_files(files))
    images = [decode_image(path) for path in files]
    decoded = tf.data.Dataset.from_generator(
        lambda: iter(images), output_signature=tf.TensorSpec((None, None, 3), "uint8")
    )
    expected = list(decoded.map(kv.TwoViews(48, "vicreg", seed=1)))
    assert len(views) == len(expected) == len(files)
    for pair, expected_pair in zip(views, expected):
        for view, expected_view in zip(pair, expected_pair):
            assert view.shape == (48, 48, 3)
            np.testing.assert_allclose(view, expected_view, atol=1e-3)


def test_unreadable_files_are_named_and_left_out(files, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    content = Path(files[0]).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    paths = [files[0], *map(str, sorted(tmp_path.iterdir())), files[1]]
    with pytest.warns(UserWarning, match="unreadable") as caught:
        views = list(kv.TwoViews(48, "vicreg", seed=1).from_files(paths))
    assert len(views) == 2
    text = " ".join(str(warning.message) for warning in caught)
    assert "text.jpg" in text
    assert "cut.jpg" in text
    with pytest.raises(tf.errors.NotFoundError, match="nowhere"):
        list(kv.TwoViews(48, "vicreg", seed=1).from_files(["nowhere.jpg"]))


@pytest.mark.every_backend
def test_equal_seeds_give_equal_views_in_the_order_of_the_files(files):
    def epochs():
        pairs = kv.TwoViews(48, "vicreg", seed=2).from_files(files * 2).batch(20)
        return [np.stack(next(iter(pairs))) for _ in range(2)]

    first, second = epochs()
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 255
    np.testing.assert_array_equal(epochs(), [first, second])
    # Other draws in every epoch, for every view, for a file that comes twice.
    for other in (second, first[::-1], np.roll(first, 10, axis=1)):
        assert np.abs(first - other).mean(axis=(2, 3, 4)).min() > 0.1


class Plain(kv.TwoViews):
    """Views in which a flat image keeps its shade."""

    def of_files(self, paths, skip, see):
        def shade(path):
            boxes = tf.zeros((2, 4), "int32")
            image, _ = file_crops.decode(path, lambda shape: boxes, skip, see)
            return (tf.cast(image, "float32"),) * 2

        return paths.map(shade).filter(lambda image, _: tf.size(image) > 0)


def cut(image, top, left, height, width):
    return image[top : top + height, left : left + width]


def test_a_part_of_a_jpeg_file_has_the_pixels_of_the_whole(files):
    """Those of Pillow, where the colours are stored at half the size, too."""
    rng = np.random.default_rng(0)

    @tf.function(input_signature=[tf.TensorSpec((), "string"), BOXES])
    def decode(path, boxes):
        return file_crops.decode(path, lambda _: boxes)

    for path in files[:3]:
        whole = np.asarray(Image.open(path).convert("RGB"))
        for _ in range(30):
            top, left = (rng.integers(0, side - 8, 2) for side in whole.shape[:2])
            bottom, right = (
                rng.integers(start + 1, side + 1)
                for start, side in zip((top, left), whole.shape[:2])
            )
            boxes = np.stack([top, left, bottom - top, right - left], 1)
            part, moved = decode(path, boxes.astype("int32"))
            for box, moved_box in zip(boxes, moved.numpy()):
                np.testing.assert_array_equal(
                    cut(part, *moved_box), cut(whole, *box), path
                )


@pytest.mark.every_backend
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_crops_are_those_of_the_layer(photograph, interpolation):
    size = (37, 100)  # several blocks of the banded products, and a rest
    layer = augment.RandomResizedCrop(size, interpolation=interpolation)
    for box in [(0, 0, 189, 317), (11, 3, 170, 25), (60, 40, 9, 200), (188, 316, 1, 1)]:
        names = ("top", "left", "height", "width")
        rows = {k: keras.ops.full((1,), float(v)) for k, v in zip(names, box)}
        expected = keras.ops.convert_to_numpy(layer.apply(photograph[None], rows))
        result = file_crops.crop(
            tf.constant(photograph), tf.constant(box), size, interpolation
        )
        result = np.transpose(result, (0, 1, 3, 2))
        np.testing.assert_allclose(result, expected, atol=1e-3)


@pytest.fixture
def cut_files(tmp_path):
    """Twelve files whose heads are whole, all bodies but that of the first cut off."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number:02}.jpg" for number in range(12)]
    for path in paths:
        pixels = rng.integers(0, 256, (24, 24, 3), "uint8")
        Image.fromarray(pixels).save(path, quality=90)
        if path != paths[0]:
            path.write_bytes(path.read_bytes()[:700])
    return [str(path) for path in paths]


@pytest.mark.parametrize("readable", [0, 1])
def test_an_error_counts_photographs_that_cannot_be_decoded(cut_files, readable):
    """Nothing is awaited for ever, and no batch is made of one picture."""
    paths = cut_files[1 - readable :]
    words = rf"{len(paths)} images, of which \d+ could not be read: '"
    again = tf.data.Dataset.from_tensor_slices(paths).repeat()
    views = kv.TwoViews(8, "byol").from_files(again)
    found = pytest.raises(tf.errors.OpError, match=words)
    with pytest.warns(UserWarning, match="Skipped"), found:
        list(views)
    with pytest.raises(ValueError, match=words):
        FileViews(paths, kv.TwoViews(8, "byol"), 4)[0]
    least = r"At most 1 of .* at least 4 must be readable.*'"
    with pytest.raises(ValueError, match=least):
        FileViews(paths, kv.TwoViews(8, "byol"), 4, max_unreadable=1)[0]


def test_the_share_of_unreadable_photographs_can_be_set(cut_files):
    paths = cut_files[:2]
    views = kv.TwoViews(8, "byol")
    with pytest.warns(UserWarning, match=r"Skipped 1 unreadable image: '.*01.jpg'"):
        assert len(list(views.from_files(paths))) == 1
    for share in (0, 0.4):
        with pytest.raises(Exception, match=rf"At most {share} of the images"):
            list(views.from_files(paths, max_unreadable=share))
    for bad in (-0.1, 50, True, float("nan"), "half"):
        for make in (views.from_files, lambda *a, **k: FileViews(*a, views, 2, **k)):
            with pytest.raises(ValueError, match="must be a share of the images"):
                make(paths, max_unreadable=bad)


@pytest.mark.filterwarnings("ignore:Skipped")
def test_no_batch_holds_a_photograph_twice(tmp_path):
    for number in range(9):
        flat = np.full((12, 12, 3), 25 * number, "uint8")
        Image.fromarray(flat).save(tmp_path / f"{number}.png")
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    for path in paths[:3]:
        Path(path).write_text("no image")
    batches = FileViews(paths, Plain(8), 4)
    for epoch in range(6):
        batches.start_at(epoch)
        for index in range(2):
            assert len(set(batches[index][0][0][:, 0, 0, 0])) == 4


def test_a_folder_of_large_photographs_feeds_fit(photograph, tmp_path):
    for number in range(9):
        path = tmp_path / "large" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(photograph[:, number:]).save(path)
    paths = large_photographs(tmp_path / "large", 126)
    assert [Path(path).name for path in paths] == [f"{n}.jpg" for n in range(9)]
    assert large_photographs(tmp_path / "large", 127) == []
    assert large_photographs("sample", 8) == []
    assert large_photographs(photograph[None], 8) == []
    Path(paths[4]).write_text("no image")

    batches = FileViews(paths, kv.TwoViews(8, "vicreg"), 4)
    assert len(batches) == 2
    model = toys.vicreg(optimizer=keras.optimizers.SGD(0.0))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        losses = model.fit(batches, epochs=3, verbose=0).history["loss"]
    assert len(set(losses)) == 3
    named = [str(w.message) for w in caught if "unreadable" in str(w.message)]
    assert len(named) == 1
    assert "unreadable image: '" in named[0]
    assert "4.jpg' (" in named[0]
    for path in paths[5:]:  # in the words of the package, in the midst of it, too
        Path(path).write_text("gone bad")
    words = r"9 images, of which \d could not be read"
    with pytest.raises(ValueError, match=words):
        model.fit(batches, epochs=3, verbose=0)
    with pytest.raises(ValueError, match=r"`batch_size` must be .* at most the"):
        FileViews(paths, None, 10)


def test_an_epoch_has_every_file_once_and_its_own_views(photograph, tmp_path):
    """Whichever batch is asked for first, and when the epoch comes again."""
    for number in range(9):
        flat = np.full((12, 12, 3), 25 * number, "uint8")
        Image.fromarray(flat).save(tmp_path / f"{number}.png")
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    batches = FileViews(paths, kv.TwoViews(8, "byol"), 4, seed=1)

    def epoch(number, indices=range(2)):
        batches.start_at(number)
        return np.stack([batches[index][0] for index in indices])

    first, second = epoch(0), epoch(1)
    assert first.shape == (2, 2, 4, 8, 8, 3)
    np.testing.assert_array_equal(epoch(0), first)
    np.testing.assert_array_equal(epoch(1, (1, 0))[::-1], second)
    assert np.abs(first - second).max() > 1
    for views in (first, second):
        # Jitter moves the grey of flat images, but never the two views as one.
        assert np.abs(views[:, 0] - views[:, 1]).max() > 1
    plain = FileViews(paths, Plain(8), 4, seed=1)
    orders = []
    for number in range(3):
        plain.start_at(number)
        shades = np.concatenate([plain[index][0][0][:, 0, 0, 0] for index in range(2)])
        assert len(set(shades)) == 8
        orders.append(shades)
    assert not np.array_equal(orders[0], orders[1])
