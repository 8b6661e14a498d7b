"""How folders of images are read: splits, classes, and what is left out with words."""

import io
import os
import sys
import warnings

import numpy as np
import pytest
from photographs import photograph

import keras_vicreg as kv
from keras_vicreg.commands.main import main
from keras_vicreg.data.folder_layout import lay_out
from keras_vicreg.data.folder_report import describe
from keras_vicreg.data.folders import ImageFolder
from keras_vicreg.data.loading import class_names
from keras_vicreg.data.splits import find_split, split_of


def fill(root, *names):
    """Writes files: a tiny picture where the name is that of one, else text."""
    buffer = io.BytesIO()
    photograph(0, (8, 8)).save(buffer, "PNG")
    for name in names:
        path = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            text = not name.endswith((".png", ".PNG"))
            file.write(b"text" if text else buffer.getvalue())
    return root


def read(*names):
    """Splits and classes of these images: `{"train": {"cat": 2}}`."""
    found = lay_out(sorted(tuple(name.split("/")) for name in names))
    return {
        name: (
            {label: split.classes.count(label) for label in sorted({*split.classes})}
            if split.classes
            else len(split.images)
        )
        for name, split in found.splits.items()
    }


def images(*folders, count=3):
    return [f"{folder}/{k}.png" for folder in folders for k in range(count)]


def of_classes(*folders):
    return images(*(f"{folder}/{name}" for folder in folders for name in "ab"))


BOTH = {"a": 3, "b": 3}


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("Train", "Valid", "Test"),
        ("training", "validation", "testing"),
        ("TRAINING", "dev", "eval"),
        ("train_images", "val_images", "test_images"),
        ("train2017", "val2017", "test2017"),
        ("seg_train", "seg_val", "seg_test"),
        ("TrainSet", "ValidationSet", "TestSet"),
        ("1-train", "2-valid", "3-test"),
        ("training data", "validation data", "test data"),
    ],
)
def test_splits_in_any_usual_spelling(train, validation, test):
    names = {"train": train, "validation": validation, "test": test}
    expected = dict.fromkeys(names, BOTH)
    assert read(*of_classes(*names.values())) == expected
    for pair in (("train", "test"), ("train", "validation"), ("validation", "test")):
        files = of_classes(*(names[split] for split in pair))
        assert read(*files) == dict.fromkeys(pair, BOTH)
    # Inside of another folder, beside a stray picture, and in every class.
    assert read(*(f"data/set/{name}" for name in of_classes(*names.values()))) == (
        expected
    )
    assert read("x.png", *(f"d/{n}" for n in of_classes(*names.values()))) == expected
    classes = [f"{name}/{split}" for name in "ab" for split in names.values()]
    assert read(*images(*classes)) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        # Exports of detection, in both orders; with and without a test split.
        (
            images("train/images", "valid/images", "test/images")
            + images("train/labels", "valid/labels", "test/labels"),
            {"train": 3, "validation": 3, "test": 3},
        ),
        (
            images("images/train", "images/val", "masks/train", "masks/val"),
            {"train": 3, "validation": 3},
        ),
        (images("Train", "Test", "annotations"), {"train": 3, "test": 3}),
        (images("images", "annotations/trimaps"), {"train": 3}),
        # An unpacked archive holds a folder of its own name.
        (of_classes("train/train", "test/test"), {"train": BOTH, "test": BOTH}),
        (
            [*of_classes("seg_train/seg_train"), *images("seg_test/x", "seg_test/y")],
            {"train": BOTH, "test": {"x": 3, "y": 3}},
        ),
        # A test split without labels, one alone, two of a kind, an unlabelled one.
        ([*of_classes("train"), *images("test")], {"train": BOTH, "test": 3}),
        (of_classes("Testing"), {"test": BOTH}),
        (
            of_classes("Training", "PublicTest", "PrivateTest"),
            {"train": BOTH, "test": {"a": 6, "b": 6}},
        ),
        (
            [*of_classes("train", "test"), *images("unlabeled")],
            {"train": BOTH, "test": BOTH, "unlabeled": 3},
        ),
        (of_classes("test", "photographs"), {"test": BOTH, "photographs": BOTH}),
        # Classes that are called as splits are.
        (images("bus", "train", "tram"), {"train": {"bus": 3, "train": 3, "tram": 3}}),
        (
            of_classes("bus", "tram") + images("train"),
            {"train": {"bus": 6, "train": 3, "tram": 6}},
        ),
        (images("invalid", "valid"), {"train": {"invalid": 3, "valid": 3}}),
        (images("contrast", "test bench"), {"train": {"contrast": 3, "test bench": 3}}),
        # Not classes: one folder alone, and pictures beside the folders, if many.
        (images("photographs"), {"train": 3}),
        ([*images("a", "b"), *images(".", count=4)], {"train": 10}),
        ([*images("a", "b"), "x.png"], {"train": BOTH}),
        ([*of_classes("set"), "x.png"], {"train": BOTH}),
    ],
)
def test_layouts_as_people_have_them(files, expected):
    assert read(*(name.removeprefix("./") for name in files)) == expected


def test_many_classes_are_read_in_one_pass():
    """A thousand classes of thirty: quadratic in the classes it took minutes."""
    files = [(f"n{k:04}", f"{i}.png") for k in range(1000) for i in range(30)]
    split = lay_out(files).splits["train"]
    assert len(set(split.classes)) == 1000
    assert len(split.images) == 30_000


def test_a_test_split_is_never_trained_on(tmp_path):
    for train, test in (("Train", "Test"), ("training", "testing"), ("trn", "Eval")):
        folder = fill(tmp_path / train, *of_classes(train, test), f"{test}/x.png")
        with pytest.warns(UserWarning, match=r"left out: 1 image.*x\.png"):
            assert len(kv.load_images(folder)) == 6
        assert class_names(folder) == ("a", "b")


def test_what_systems_leave_is_no_class(tmp_path):
    junk = ["__MACOSX/a/._0.png", "__MACOSX/a/1.png", ".ipynb_checkpoints/a.png"]
    junk += ["a/._0.png", "a/.ipynb_checkpoints/0.png", "@eaDir/a/0.png"]
    fill(tmp_path, *images("a", "b"), *junk, "Thumbs.db", "b/Thumbs.db", "c/notes.txt")
    os.makedirs(tmp_path / "empty" / "deep")
    assert class_names(tmp_path) == ("a", "b")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(kv.load_images(tmp_path)) == 6
    line = describe(ImageFolder(tmp_path))
    assert "6 images; 2 classes (a, b); no splits; left out: " in line
    assert "2 folder(s) without images (c, empty)" in line
    assert "5 hidden (.ipynb_checkpoints, @eaDir and 3 more)" in line
    assert "2 .db file(s), 1 .txt file(s)" in line


def test_links_give_every_image_once(tmp_path):
    fill(tmp_path / "data", *images("a", "b"))
    fill(tmp_path / "far", *images("c"))
    os.symlink("..", tmp_path / "data" / "a" / "parent")
    os.symlink(tmp_path, tmp_path / "data" / "b" / "above")
    os.symlink("../a", tmp_path / "data" / "b" / "sister")
    os.symlink("nowhere", tmp_path / "data" / "b" / "broken.png")
    os.symlink("0.png", tmp_path / "data" / "b" / "again.png")
    os.symlink("loop", tmp_path / "data" / "loop")
    os.symlink(tmp_path / "far" / "c", tmp_path / "data" / "c")
    os.symlink(tmp_path / "far" / "c" / "0.png", tmp_path / "data" / "a" / "linked.png")
    with pytest.warns(UserWarning, match="5 link.*2 broken link") as caught:
        found, labels = kv.load_images(tmp_path / "data", labels=True)
    assert len(caught) == 1
    assert np.bincount(labels).tolist() == [3, 3, 3]
    assert len(found) == 9
    os.symlink(tmp_path / "data", tmp_path / "way")
    with pytest.warns(UserWarning, match="5 link"):
        assert len(kv.load_images(tmp_path / "way")) == 9


def test_stray_pictures_are_named_and_the_classes_stay(tmp_path):
    fill(tmp_path, *images("a", "b"), "x.png")
    with pytest.warns(UserWarning, match=r"left out: 1 image\(s\) beside.* \(x\.png\)"):
        found, labels = kv.load_images(tmp_path, labels=True)
    assert (len(found), labels.tolist()) == (6, [0] * 3 + [1] * 3)
    fill(tmp_path, *(f"{k}.png" for k in range(4)))
    with pytest.warns(UserWarning, match="no classes, as 5 of them lie beside"):
        assert len(kv.load_images(tmp_path)) == 11


def test_every_usual_suffix_is_read_and_others_are_named(tmp_path):
    picture, read = photograph(0, (16, 16)), []
    formats = {".jfif": "JPEG", ".jpe": "JPEG", ".JPG": "JPEG", ".ppm": "PPM"}
    formats |= {".pgm": "PPM", ".pnm": "PPM", ".dib": "DIB", ".tga": "TGA"}
    for suffix, kind in formats.items():
        shown = picture.convert("L") if suffix == ".pgm" else picture
        shown.save(tmp_path / f"x{suffix}", kind)
        read.append(shown)
    assert len(kv.load_images(tmp_path)) == len(read)
    fill(tmp_path, "a.heic", "b.HEIC", "notes.txt")
    with pytest.warns(UserWarning, match=r"2 \.heic file\(s\), a format that is not"):
        kv.load_images(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
def test_names_that_are_no_utf8(tmp_path):
    strange = [os.fsdecode(f"caf\xe9/{k}\xff.png".encode("latin-1")) for k in range(3)]
    fill(tmp_path, *strange, *images("b"), strange[0].replace("0", "../4"))
    with pytest.warns(UserWarning, match=r"left out: 1 image.*4\\udcff\.png"):
        found, labels = kv.load_images(tmp_path, labels=True)
    assert (len(found), labels.tolist()) == (6, [0] * 3 + [1] * 3)
    describe(ImageFolder(tmp_path)).encode()


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    fill(tmp_path, "a.txt", "b.txt", "sub/c.bin")
    with pytest.raises(ValueError, match=r"without any, with 2 \.txt, 1 \.bin"):
        kv.load_images(tmp_path)


def test_commands_say_in_one_line_how_a_folder_is_read(tmp_path, capfd):
    fill(tmp_path / "in", *of_classes("Train", "Val"), "stray.png", "Train/notes.txt")
    out = ["--out", str(tmp_path / "views.png"), "--count", "2"]
    assert main(["preview", "--data", str(tmp_path / "in"), *out]) == 0
    shown, errors = capfd.readouterr()
    assert shown.splitlines()[0] == (
        f"{tmp_path / 'in'}: 12 images; 2 classes (a, b); splits train (6 in Train/), "
        "validation (6 in Val/); left out: 1 image(s) beside the folders (stray.png), "
        "1 .txt file(s)"
    )
    assert "left out" not in errors


def test_split_takes_any_spelling_and_the_name_of_the_folder(tmp_path):
    fill(tmp_path, *images("seg_train", "seg_val", "seg_pred"), "seg_val/3.png")
    for asked in ("validation", "val", "Valid", "DEV", "seg_val"):
        assert len(kv.load_images(tmp_path, split=asked)) == 4
    assert len(kv.load_images(tmp_path, split="seg_pred")) == 3
    assert len(kv.load_images(tmp_path, split="all")) == 10
    with pytest.raises(ValueError, match=r"must be one of .*'seg_pred', 'train', 'val"):
        kv.load_images(tmp_path, split="test")


def test_the_sample_and_rows_take_any_spelling():
    assert find_split("valid", ["train", "validation"]) == "validation"
    assert find_split("validation", ["val", "test"]) == "val"
    assert find_split("test", ["train"]) is None
    for part_of_one in ("train[:10%]", "train+test", "train[5:9]"):
        assert find_split(part_of_one, ["train", "test"]) is None
    assert split_of("Validation") == "validation"
    assert len(kv.load_images("sample", split="val")) == len(
        kv.load_images("sample", split="validation")
    )
    with pytest.raises(ValueError, match="`split` of the sample must be one of"):
        kv.load_images("sample", split="fold1")
