"""`keras-vicreg report`: a page that says what the runs' files say, and no more."""

import base64
import csv
import dataclasses
import io
import json
import re
import shutil

import browser
import keras
import numpy as np
import pytest
import toys
from photographs import save_splits
from PIL import Image
from report_runs import HOSTILE, SIZE, Reader, load, make_run

from keras_vicreg.commands import main as cli
from keras_vicreg.report import write_report
from keras_vicreg.report.confusion import confusion, confusion_matrix
from keras_vicreg.report.measured import measure_runs
from keras_vicreg.report.run import read_runs
from keras_vicreg.report.similar_images import find_similar

pytest_plugins = ["report_runs"]


def test_curves_are_those_of_the_history(runs, read):
    loss = read.data("data-chart")[0]
    for run, line in zip(runs, loss["lines"]):
        with open(run / "history.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert line["name"] == run.name
        found = [(x, float(shown)) for x, _, shown in line["points"]]
        assert found == [(float(row["epoch"]), float(row["loss"])) for row in rows]
    names = {given.get("aria-label") for _, given in read.elements}
    for title in ("Invariance term", "Covariance term", "kNN top-1, validation"):
        assert f"{title}: {', '.join(run.name for run in runs)}" in names


def test_accuracies_are_those_of_evaluation_json(runs, read):
    for run in runs:
        for row in json.loads((run / "evaluation.json").read_text()).values():
            for found in row.values():
                low, high = found["top1_interval"]
                shown = f"{100 * low:.1f} to {100 * high:.1f}"
                assert f"{100 * found['top1']:.1f} % {shown}" in read.text
    assert read.text.count("raw pixels") == 1  # the same for both runs


def test_quality_is_that_of_the_representations(runs, photographs, read):
    _, (images, _) = load(photographs)
    for run in runs:
        encoder = keras.saving.load_model(run / "encoder.keras")
        z = np.asarray(encoder.predict(images, verbose=0), "float64")
        shares = np.linalg.svd(z, compute_uv=False)
        shares = shares / shares.sum() + 1e-7
        assert f"{np.exp(-(shares * np.log(shares)).sum()):#.3g}" in read.text
    spectrum = next(
        each for each in read.data("data-chart") if each["x"] == "principal axis"
    )
    values = np.linalg.svd(z - z.mean(axis=0), compute_uv=False)
    shown = [float(value) for _, _, value in spectrum["lines"][1]["points"]]
    np.testing.assert_allclose(shown, values / values[0], rtol=6e-3)


def test_confusion_matrix_counts_every_test_image(measured, read):
    truth, predicted = measured.data.labels, measured.knn.predictions
    counts = confusion_matrix(truth, predicted, 3)
    for true in range(3):
        for taken in range(3):
            pairs = zip(truth, predicted)
            assert counts[true, taken] == sum(p == (true, taken) for p in pairs)
    right = counts.diagonal().sum()
    shown = f"{right} of 24 test images, {100 * right / 24:.1f} %, are right"
    assert shown in read.text
    stored = measured.run.results["trained"]["knn"]["top1"]
    assert stored == pytest.approx(right / 24)


def test_many_classes_are_told_by_their_worst_confusions(measured):
    names = tuple(f"class {number}" for number in range(40))
    labels = np.arange(24) % 40
    data = dataclasses.replace(measured.data, labels=labels, names=names)
    predictions = np.where(labels < 3, 39, labels)
    found = dataclasses.replace(measured.knn, predictions=predictions)
    many = dataclasses.replace(measured, data=data, knn=found)
    assert "<table" in confusion([many])
    many = dataclasses.replace(
        many,
        data=dataclasses.replace(data, labels=np.arange(24) + 10),
        knn=dataclasses.replace(found, predictions=np.arange(24)),
    )
    page = confusion([many])
    assert "<table" not in page
    assert "<em>class 10</em> taken for <em>class 0</em>: 1 of 1" in page


def test_neighbours_are_the_nearest_training_images(measured):
    samples, found = find_similar(measured)
    unit = [
        z / np.linalg.norm(z, axis=1, keepdims=True)
        for z in (measured.features.astype("float64"), measured.gallery[0])
    ]
    expected = np.argsort(-(unit[0] @ unit[1].T)[samples], kind="stable")[:, :7]
    np.testing.assert_array_equal(found, expected)


def test_map_has_every_test_image_and_a_picture_of_each(read, measured):
    for plotted in read.data("data-map"):
        names = [name for *_, name in plotted["points"]]
        labels = [measured.data.names[label] for label in measured.data.labels]
        assert names == labels
        positions = {position for _, _, position, _ in plotted["points"]}
        assert len(positions) == 24


def test_thumbnails_are_the_images(page, measured):
    code = re.search(r"\.sheet-0\{[^,]*base64,([^)]*)\)", page.read_text())[1]
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(code))), "float64")
    assert sheet.shape == (5 * 64, 5 * 64, 3)  # 24 images
    for index in range(24):
        top, left = 64 * (index // 5), 64 * (index % 5)
        shown = sheet[top : top + 64, left : left + 64]
        shown = shown.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
        distances = np.abs(measured.data.images - shown).mean(axis=(1, 2, 3))
        others = np.delete(distances, index)
        assert distances[index] < others.min() / 2  # noise, so the JPEG loses some


def test_nothing_from_outside_is_taken_for_html(read, page):
    tags = [tag for tag, _ in read.elements]
    assert tags.count("script") == 1
    assert "img" not in tags
    for _, given in read.elements:
        assert not any(name.startswith("on") for name in given)
    for name in (HOSTILE, f"second{HOSTILE}"):
        assert name in read.text
    assert HOSTILE not in page.read_text()


def test_page_loads_nothing(read, page):
    assert "://" not in page.read_text()
    for _, given in read.elements:
        assert "src" not in given
        assert given.get("href", "data:").startswith("data:")
    urls = re.findall(r"url\(([^)]{,20})", page.read_text())
    assert urls
    assert all(url.startswith("data:image/jpeg") for url in urls)
    policy = next(m["content"] for _, m in read.elements if "http-equiv" in m)
    assert policy.startswith("default-src 'none'")


def test_no_path_of_the_machine_is_told(page, photographs):
    assert str(photographs.parent) not in page.read_text()
    assert "photographs" in page.read_text()


def test_equal_runs_give_an_equal_file(page, runs, tmp_path):
    again = write_report(runs, tmp_path / "again.html")
    assert again.read_bytes() == page.read_bytes()


def test_differences_of_the_recipes_are_marked(read):
    # Seed and version of Keras differ; data, images and all else are equal, and what
    # one of them has not recorded is no difference.
    assert read.text.count(" differs ") == 2
    assert re.search(r" 2 of \d+ settings differ\.", read.text)
    assert "seed differs 0 1" in read.text
    assert "version of jax not recorded 0.10" in read.text


def test_without_labels_there_is_all_that_needs_none(unlabelled, tmp_path):
    run = make_run(tmp_path / "run", unlabelled, results=False)
    found = Reader(write_report([run], tmp_path / "report.html"))
    sections = [given["id"] for tag, given in found.elements if tag == "section"]
    assert sections == [
        *("overview", "training", "health", "accuracy", "map", "similar", "views"),
        "configuration",
    ]
    assert "kNN, linear probe and confusion matrix need labels" in found.text
    assert "20 images" in found.text
    measured = measure_runs(read_runs([run]))[0][0]
    samples, neighbours = find_similar(measured)
    assert not set(samples) & set(neighbours.ravel())


def test_a_collapsed_encoder_is_called_so(runs, tmp_path):
    run = shutil.copytree(runs[0], tmp_path / "run")
    encoder = toys.encoder(size=SIZE)
    encoder.set_weights([np.zeros_like(each) for each in encoder.get_weights()])
    encoder.save(run / "encoder.keras")
    found = Reader(write_report([run], tmp_path / "report.html"))
    assert "All representations are the same: run." in found.text
    assert "No map:" in found.text
    # The file has the accuracy of another encoder, and the page says so.
    assert "evaluation.json says" in found.text


def test_a_run_without_encoder_or_images_still_has_its_curves(runs, tmp_path):
    unfinished = shutil.copytree(runs[0], tmp_path / "unfinished")
    (unfinished / "encoder.keras").unlink()
    moved = shutil.copytree(runs[0], tmp_path / "moved")
    config = json.loads((moved / "config.json").read_text())
    config["recipe"]["data"] = "/home/somebody/gone"
    (moved / "config.json").write_text(json.dumps(config))
    path = write_report([unfinished, moved], tmp_path / "report.html")
    found = Reader(path)
    assert (
        "The encoder of unfinished was not measured: its folder holds none"
        in found.text
    )
    assert "The encoder of moved was not measured: `source` must be" in found.text
    assert "somebody" not in path.read_text()
    assert len(found.data("data-chart")) == 6
    assert not found.data("data-map")


DAMAGES = {
    "config.json": [
        ("{", "must hold a JSON object"),
        ("[]", "must hold a JSON object. Received: no object, but list"),
        ('{"recipe": {"epochs": "many"}}', "`epochs` must be an integer"),
        ('{"recipe": {"data": 3}}', "data=3"),
        ('{"recipe": {"magic": 3}}', "magic"),
        ('{"recipe": {"views": ["vicreg"]}}', "views=['vicreg']"),
    ],
    "history.csv": [
        ("", "must hold a row of numbers for each epoch"),
        ("epoch,loss\n", "must hold a row of numbers for each epoch"),
        ("epoch,loss\n1,abc\n", "'abc'"),
        ("loss\n1\n", "epoch=0"),
        ("epoch,loss\n1e999,1\n", "epoch=inf"),
        ("epoch,seconds\n1,nan\n", "seconds=nan"),
        ("epoch,loss\n1,2,3\n", "must hold a row of numbers"),
        ("epoch,loss\n,2\n", "must hold a row of numbers"),
        ("\x00\xff", "must hold a row of numbers"),
    ],
    "evaluation.json": [
        ("{'trained'}", "must hold a JSON object"),
        ("[1]", "must hold a JSON object"),
        ('{"trained": {"knn": 3}}', "must hold results"),
        ('{"trained": {"knn": {"top1": "high"}}}', "must hold results"),
        ('{"trained": {"knn": {"top1": NaN, "top1_interval": [0, 1]}}}', "must hold"),
    ],
    "encoder.keras": [("PK", "encoder.keras")],
}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [(name, *each) for name, damages in DAMAGES.items() for each in damages],
)
def test_damaged_files_are_one_line(name, content, message, runs, tmp_path, capsys):
    run = shutil.copytree(runs[0], tmp_path / "run")
    (run / name).write_bytes(content.encode("latin-1"))
    assert_refused([run], tmp_path, message, capsys)


def test_what_is_no_run_is_one_line(runs, tmp_path, capsys):
    assert_refused([tmp_path / "nowhere"], tmp_path, "config.json", capsys)
    assert not (tmp_path / "nowhere").exists()
    assert_refused([runs[0], runs[0]], tmp_path, "each once", capsys)
    run = shutil.copytree(runs[0], tmp_path / "run")
    (run / "history.csv").unlink()
    assert_refused([run], tmp_path, "history.csv must hold", capsys)


def assert_refused(run_dirs, tmp_path, message, capsys):
    out = tmp_path / "report.html"
    assert cli.main(["report", *map(str, run_dirs), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.glob("*.html*"))


def test_command_writes_the_page(runs, page, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert cli.main(["report", *map(str, runs), "--out", str(out)]) == 0
    assert out.read_bytes() == page.read_bytes()
    printed = capsys.readouterr().out
    assert "Measuring first on " in printed
    assert f"Written: {out}, " in printed


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    if browser.EXECUTABLE is None:
        pytest.skip("no Chromium is installed")
    started = browser.Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_page_in_a_browser(chromium, page, width, dark):
    chromium.open(page.as_uri(), width, dark)
    assert chromium.evaluate("document.documentElement.scrollWidth") == width
    chromium.point(".chart svg", 0.95)
    shown = chromium.evaluate("document.getElementById('tip').innerText")
    assert " ".join(shown.split()) == f"epoch 3 first 17.0 second{HOSTILE} 18.0"
    chromium.point("[data-map]")
    shown = chromium.evaluate("document.getElementById('tip').innerText")
    assert shown.strip() in ("hat", "shoe", HOSTILE)
    picture = "getComputedStyle(document.querySelector('#tip .thumb')).backgroundImage"
    assert chromium.evaluate(picture).startswith('url("data:image/jpeg')
    chromium.point("[data-class='1']")
    chosen = "document.querySelectorAll('.fading .dots.chosen').length"
    assert chromium.evaluate(chosen) == 1
    assert chromium.errors() == []
    assert chromium.requests() == [page.as_uri()]


def test_the_browser_would_tell_of_errors_and_requests(chromium, tmp_path):
    """What the test above relies on."""
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='nowhere.png'><script>missing()</script>")
    chromium.open(bad.as_uri(), 1280)
    assert len(chromium.errors()) >= 1
    assert chromium.requests() == [bad.as_uri(), (tmp_path / "nowhere.png").as_uri()]


def test_a_report_looks_at_the_images_of_the_run(tmp_path, monkeypatch, capsys):
    for place, images in {"a": 8, "b": 12}.items():
        splits = {"train": 24, "test": images}
        save_splits(tmp_path / place / "photographs", splits, ["hat", "shoe"])
    (tmp_path / "a" / "runs").mkdir()
    make_run(tmp_path / "a/runs/here", "photographs", results=False)
    make_run(tmp_path / "a/runs/lost", "nowhere", results=False)
    monkeypatch.chdir(tmp_path / "b")
    measured, left_out = measure_runs(
        read_runs(["../a/runs/here", "../a/runs/lost"]), verbose=True
    )
    assert [len(each.features) for each in measured] == [8]
    assert set(left_out) == {"lost"}
    assert "Not measured: lost, `source` must be" in capsys.readouterr().out
