"""Sources of images: folders, arrays, data set libraries; bad input says why."""

import sys
from pathlib import Path

import numpy as np
import pytest
import toys
from photographs import photograph, write

import keras_vicreg as kv
from keras_vicreg.data.loading import class_names
from keras_vicreg.views.files import large_photographs

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_tensorflow = pytest.mark.skipif(
    "tensorflow" not in sys.modules, reason="tf.data is TensorFlow's"
)


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
        (np.zeros((2, 3, 8, 8), "uint8"), r"not on the second.*np\.moveaxis"),
    ]
    for array, message in bad:
        with pytest.raises(ValueError, match=message):
            kv.load_images(array)
    good = np.zeros((2, 8, 8, 3), "uint8")
    for labels in (np.zeros(3, int), np.zeros(2), np.zeros((2, 10), int)):
        with pytest.raises(ValueError, match="one for each image"):
            kv.load_images((good, labels), labels=True)
    with pytest.raises(ValueError, match="a ndarray, which has none"):
        kv.load_images(good, labels=True)


def test_lists_of_images_of_any_size_and_of_files(tmp_path):
    pictures = [photograph(0, (40, 30)), photograph(1, (50, 70)).convert("L")]
    for name, picture in zip("ab", pictures):
        write(tmp_path / f"{name}.png", picture)
    expected = kv.load_images(tmp_path, 20)
    grey = np.asarray(pictures[1])
    for given in (
        pictures,
        [np.asarray(pictures[0]), grey[..., None]],
        [np.asarray(pictures[0]), grey],
        [tmp_path / "a.png", str(tmp_path / "b.png")],
    ):
        np.testing.assert_array_equal(kv.load_images(given, 20), expected)
    pair = (pictures, [1, 0])
    assert kv.load_images(pair, 20, labels=True)[1].tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"one size; `kv\.load_images\(images, image"):
        kv.load_images(pictures)
    # One of several may be dark.
    dark = [np.full((4, 4, 3), 0.5), np.full((4, 4, 3), 200.0)]
    assert kv.load_images(dark)[:, 0, 0, 0].tolist() == [0, 200]
    for bad, message in (
        ([], "at least one"),
        ([np.full((4, 4, 3), 0.5)] * 2, r"Images must be 0\.\.255"),
        ([np.zeros((3, 4, 5), "uint8")], "not on the second"),
        ({"image": pictures}, "a list or a tf.data.Dataset. Received: a dict"),
        (iter(pictures), "Received: a list_iterator"),
    ):
        with pytest.raises(ValueError, match=message):
            kv.load_images(bad)


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


@pytest.fixture
def rows(labelled):
    """The images of the folder, and a `datasets.Dataset` of its train split."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["ant", "cat"])}
    )
    rows = {"image": [], "label": []}
    for path in sorted((labelled / "train").glob("*/*.png")):
        rows["image"].append({"bytes": path.read_bytes(), "path": None})
        rows["label"].append(path.parent.name)
    rows = datasets.Dataset.from_dict(rows, features)
    return kv.load_images(labelled, labels=True), rows


def check_equal(found, expected):
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, two)


def test_hugging_face_gives_images_and_labels(rows, tmp_path):
    expected, rows = rows
    home = tmp_path / "hub"
    home.mkdir()
    rows.to_parquet(home / "train.parquet")
    source, cache = f"hf:{home}", str(tmp_path / "cache")
    check_equal(kv.load_images(source, labels=True, data_dir=cache), expected)
    assert class_names(source, data_dir=cache) == ("ant", "cat")
    with pytest.raises(ValueError, match=r"`split` one of its splits.*'dev'"):
        kv.load_images(source, split="dev", data_dir=cache)


def test_hugging_face_objects_and_what_they_save(rows, tmp_path):
    import datasets

    expected, rows = rows
    rows.save_to_disk(tmp_path / "alone")
    parts = datasets.DatasetDict({"train": rows, "test": rows.select([0, 5])})
    parts.save_to_disk(tmp_path / "splits")
    shown = rows.with_transform(lambda batch: {"pixels": batch["image"]})
    for source in (rows, shown, tmp_path / "alone", f"hf:{tmp_path / 'alone'}"):
        check_equal(kv.load_images(source, labels=True), expected)
        assert class_names(source) == ("ant", "cat")
    for source in (parts, str(tmp_path / "splits"), f"hf:{tmp_path / 'splits'}"):
        check_equal(kv.load_images(source, labels=True), expected)
        assert kv.load_images(source, split="test", labels=True)[1].tolist() == [0, 1]
        assert len(kv.load_images(source, split="all")) == 8
        with pytest.raises(ValueError, match=r"\['all', 'test', 'train'\].*'dev'"):
            kv.load_images(source, split="dev")
    assert large_photographs(tmp_path / "alone", 8) == []  # none of these are files
    assert kv.load_images(rows["image"]).shape == (6, 30, 40, 3)
    (tmp_path / "alone" / "state.json").write_text("{")
    with pytest.raises(ValueError, match="a whole folder of `save_to_disk`"):
        kv.load_images(tmp_path / "alone")


def test_hugging_face_rows_without_class_names(rows):
    import datasets

    expected, rows = rows
    numbers = rows.cast_column("label", datasets.Value("int64"))
    check_equal(kv.load_images(numbers, labels=True), expected)
    assert class_names(numbers) == ("0", "1")
    words = rows.remove_columns("label")
    assert class_names(words) is None
    gap = datasets.concatenate_datasets(
        [words, datasets.Dataset.from_dict({"image": [None]}, words.features)]
    )
    with pytest.warns(UserWarning, match="Skipped 1 unreadable.*#6"):
        assert len(kv.load_images(gap)) == 6
    with pytest.raises(ValueError, match=r"must be a data set with images.*'label'"):
        kv.load_images(rows.remove_columns("image"))
    with pytest.raises(ValueError, match="Received: a IterableDataset"):
        kv.load_images(rows.to_iterable_dataset())


def test_rows_are_refused_where_arrays_are_wanted(rows):
    _, rows = rows
    encoder = toys.encoder()
    for take in (
        lambda: toys.vicreg(views=toys.ShiftedViews()).fit(rows, verbose=0),
        lambda: kv.embed(encoder, rows),
        lambda: kv.knn(encoder, rows, rows),
    ):
        with pytest.raises(ValueError, match=r"`kv\.load_images\(data, labels=True"):
            take()


def test_missing_libraries_are_named_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ValueError, match="pip install datasets"):
        kv.load_images("hf:cifar10")
    (tmp_path / "dataset_dict.json").write_text("{}")
    with pytest.raises(ValueError, match=r"`save_to_disk`.*pip install datasets"):
        kv.load_images(tmp_path)
    with pytest.raises(ValueError, match="pip install tensorflow-datasets"):
        kv.load_images("tfds:cifar10")
