"""Runs to report on, and a reader of the page."""

import html.parser
import json

import keras
import pytest
import toys
from photographs import SIZE, save_images, save_splits

import keras_vicreg as kv
from keras_vicreg.evaluation.protocols import measure
from keras_vicreg.report import write_report
from keras_vicreg.report.measured import measure_runs
from keras_vicreg.report.run import read_runs

HOSTILE = '<script>alert("x")<&\'b>'


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A labelled folder, one class with a name that is a script."""
    folder = tmp_path_factory.mktemp("images") / "photographs"
    return save_splits(folder, {"train": 48, "test": 24}, ["hat", "shoe", HOSTILE])


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    """A flat folder of 20 images."""
    return save_images(tmp_path_factory.mktemp("images") / "flat", 20, seed=2)


def make_run(path, data, epochs=3, seed=0, results=True, **versions):
    """The folder of a run of the tiny encoder, with an invented history."""
    path.mkdir()
    keras.utils.set_random_seed(seed)
    encoder = toys.encoder(size=SIZE)
    encoder.save(path / "encoder.keras")
    recipe = {"data": str(data), "image_size": SIZE, "epochs": 3, "seed": seed}
    config = {"recipe": recipe, "images": 48, "versions": versions}
    (path / "config.json").write_text(json.dumps(config))
    rows = ["epoch,seconds,loss,invariance,variance,covariance,embedding_std,knn_top1"]
    for epoch in range(1, epochs + 1):
        rows.append(f"{epoch},1.5,{20 - epoch + seed},0.1,0.7,0.{epoch},0.3,0.{epoch}5")
    (path / "history.csv").write_text("\n".join(rows) + "\n")
    if results:
        train, test = load(data)
        found = {"trained": measure(encoder, train, test, ("knn", "linear"))}
        found["raw pixels"] = measure(None, train, test, ("knn",))
        (path / "evaluation.json").write_text(json.dumps(found))
    return path


def load(data):
    """Train and test split."""
    return [
        kv.load_images(str(data), image_size=SIZE, split=split, labels=True)
        for split in ("train", "test")
    ]


@pytest.fixture(scope="module")
def runs(photographs, tmp_path_factory):
    """Two runs on them."""
    folder = tmp_path_factory.mktemp("runs")
    first = make_run(folder / "first", photographs, keras=HOSTILE)
    second = make_run(
        folder / f"second{HOSTILE}", photographs, seed=1, keras="3.15.1", jax="0.10"
    )
    return [first, second]


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    """Their report."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert write_report(runs, path) == path
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]
    return path


@pytest.fixture(scope="module")
def measured(runs):
    """The first run, measured."""
    return measure_runs(read_runs(runs[:1]))[0][0]


class Reader(html.parser.HTMLParser):
    """Elements with their attributes, and the text outside of style and script."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.inside, self.parts = [], [], []
        self.feed(path.read_text())
        self.text = " ".join(" ".join(self.parts).replace("\u202f", " ").split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_endtag(self, tag):
        while self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if self.inside and self.inside[-1] not in ("style", "script"):
            self.parts.append(data)

    def data(self, name):
        """The JSON in an attribute, wherever it stands."""
        return [json.loads(given[name]) for _, given in self.elements if name in given]


@pytest.fixture(scope="module")
def read(page):
    return Reader(page)
