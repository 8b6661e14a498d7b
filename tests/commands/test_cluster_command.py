"""`keras-vicreg cluster`: what it prints, writes and refuses, and SCAN's training."""

import argparse
import csv
import itertools
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import toys
from photographs import save_images
from PIL import Image

import keras_vicreg as kv
from keras_vicreg.commands import main
from keras_vicreg.commands.cluster import add_cluster
from keras_vicreg.runs import scan as scan_runs
from keras_vicreg.runs.scan import moments, train_heads, train_scan

QUICK = ("--neighbours", "5", "--heads", "2", "--epochs", "2")


@pytest.fixture(scope="module")
def torn(tmp_path_factory):
    """A flat folder of 30 images, of which one cannot be read."""
    folder = save_images(tmp_path_factory.mktemp("torn"), 30)
    sorted(folder.glob("*.*"))[3].write_bytes(b"no image")
    return folder


def command(*words):
    """Runs the command as the command line does, without its process."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    add_cluster(commands, argparse.ArgumentParser(add_help=False))
    options = parser.parse_args(["cluster", *map(str, words)])
    return options.command(options)


def table(folder):
    with open(folder / "clusters.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_help_needs_no_framework():
    code = (
        "import sys, argparse\n"
        "from keras_vicreg.commands.cluster import add_cluster\n"
        "s = argparse.ArgumentParser().add_subparsers()\n"
        "add_cluster(s, argparse.ArgumentParser(add_help=False))\n"
        "assert not {'keras', 'numpy', 'tensorflow', 'sklearn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_is_clustered_and_compared_with_kmeans(run, photographs, capsys):
    found = command(run, "--data", photographs, *QUICK)
    assert found.keys() == {"k-means", "SCAN"}
    printed = capsys.readouterr().out
    assert "On the 24 test images, with 95 % intervals:" in printed
    assert "of its class" in printed
    out = run / "clusters"
    stored = json.loads((out / "cluster.json").read_text())
    assert stored["clusters"] == len(kv.class_names(str(photographs)))
    assert stored["found"] == json.loads(json.dumps(found))
    # What the model says of the images is what the table says.
    model = keras.saving.load_model(out / "scan.keras")
    images = kv.load_images(str(photographs), 16)
    assignments, probabilities = model.predict_clusters(images)
    rows = table(out)
    assert [int(row["cluster"]) for row in rows] == assignments.tolist()
    assert [row["number"] for row in rows] == [str(i) for i in range(60)]
    shares = probabilities[np.arange(60), assignments]
    np.testing.assert_allclose(
        [float(row["probability"]) for row in rows], shares, atol=1e-4
    )
    # The report finds them beside those of the run.
    evaluation = json.loads((run / "evaluation.json").read_text())
    (row,) = evaluation.values()
    assert row["clustering"] == stored["found"]["k-means"]
    assert row["scan"] == stored["found"]["SCAN"]
    with Image.open(out / "clusters.png") as sheet:
        assert sheet.size == (10 * 18 - 2, stored["clusters"] * 18 - 2)


def test_the_measure_is_that_of_the_test_images(run, photographs):
    found = command(run, "--data", photographs, *QUICK)
    images, labels = kv.load_images(str(photographs), 16, "test", labels=True)
    model = keras.saving.load_model(run / "clusters" / "scan.keras")
    assignments, _ = model.predict_clusters(images)
    # A cluster is matched with at most one class; here by trying every way.
    classes = len(np.unique(labels))
    best = max(
        np.mean(np.array(order)[assignments] == labels)
        for order in itertools.permutations(range(classes))
    )
    assert found["SCAN"]["accuracy"] == pytest.approx(best)


def test_files_are_named_and_what_cannot_be_read_is_left_out(
    run, torn, tmp_path, capsys
):
    out = tmp_path / "here"
    with pytest.warns(UserWarning, match="Skipped 1 unreadable image"):
        found = command(run, "--data", torn, "--clusters", 3, *QUICK, "--out", out)
    assert found == {}
    assert "Without labels there is nothing to compare" in capsys.readouterr().out
    names = [row["name"] for row in table(out)]
    readable = sorted(path.name for path in torn.glob("*.*"))
    del readable[3]
    assert sorted(names) == readable
    assert not (run / "evaluation.json").exists()


def test_the_network_and_self_labelling_are_trained_where_asked(
    run, photographs, tmp_path
):
    more = ("--network-epochs", "1", "--self-label", "1", "--out", tmp_path)
    before = keras.saving.load_model(run / "encoder.keras").get_weights()
    found = command(run, "--data", photographs, *QUICK, *more)
    assert list(found) == ["k-means", "SCAN", "SCAN, self-labelled"]
    after = keras.saving.load_model(tmp_path / "scan.keras").encoder.get_weights()
    assert any(not np.array_equal(a, b) for a, b in zip(before, after))
    # The run's own encoder stays as it was.
    kept = keras.saving.load_model(run / "encoder.keras").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(before, kept))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--clusters", "1"), "2"),
        (("--heads", "0"), "1"),
        (("--neighbours", "60"), "neighbours"),
        (("--split", "nothing"), "nothing"),
        (("--data", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    run, photographs, capsys, words, message
):
    words = ["cluster", str(run), "--data", str(photographs), *words]
    try:
        code = main.main(words)
    except SystemExit as stopped:  # argparse's own
        code = stopped.code
    assert code == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert message in errors[-1]
    assert not (run / "clusters").exists()


def test_results_that_could_not_be_written_are_noticed_before_the_work(
    run, photographs, monkeypatch
):
    monkeypatch.setattr(kv, "embed", None)  # the beginning of it
    words = (run, "--data", photographs, *QUICK)
    (run / "evaluation.json").write_text("[]")
    with pytest.raises(ValueError, match=r"evaluation\.json"):
        command(*words)
    (run / "evaluation.json").unlink()
    (run / "clusters").write_text("a file")
    with pytest.raises(ValueError, match="must be a folder"):
        command(*words)


def test_without_labels_the_number_of_clusters_is_asked_for(run, torn):
    with (
        pytest.warns(UserWarning, match="Skipped 1 unreadable image"),
        pytest.raises(ValueError, match="`clusters` must be given"),
    ):
        command(run, "--data", torn)


def groups(samples=120, features=6):
    """Representations in three groups, their neighbours, and the groups.

    One feature has a thousand times the scale of the others, far from zero.
    """
    group = np.arange(samples) % 3
    centres = 8 * np.eye(3, features)[group]
    found = centres + np.random.default_rng(0).normal(size=(samples, features))
    neighbours = kv.mine_neighbours(found.astype("float32"), 5)
    found[:, 0] = found[:, 0] * 1e3 + 5e4
    return found.astype("float32"), neighbours, group


def scan():
    keras.utils.set_random_seed(0)
    return kv.SCAN(toys.encoder(), 3, num_heads=2)


def test_heads_of_representations_of_any_scale_find_the_groups():
    features, neighbours, group = groups()
    model = scan()
    line = train_heads(model, features, neighbours, epochs=20)
    assert line.startswith("Heads: 20 epochs, ")
    logits = model.logits(model.expander.predict(features, verbose=0))
    logits = keras.ops.convert_to_numpy(logits)[:, int(model.best_head)]
    found = logits.argmax(axis=1)
    pairs = {(int(a), int(b)) for a, b in zip(group, found)}
    assert len(pairs) == 3
    assert len({cluster for _, cluster in pairs}) == 3


def test_the_scale_goes_into_the_weights_of_the_heads(monkeypatch):
    """The heads of the model on representations, and trained ones on standardized."""
    features, neighbours, _ = groups()
    model = scan()
    kept = []

    class Kept(scan_runs.HeadsAlone):
        def __init__(self, of):
            super().__init__(of)
            kept.append(self)

    monkeypatch.setattr(scan_runs, "HeadsAlone", Kept)
    train_heads(model, features, neighbours, epochs=2)
    mean, scale = moments(features)
    expected = kept[0].dense(((features - mean) / scale).astype("float32"))
    found = model.expander.predict(features, verbose=0)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(expected), found, rtol=1e-3, atol=1e-3
    )


def test_equal_seeds_train_equally():
    images = toys.images(40, 16)
    keras.utils.set_random_seed(0)
    encoder = toys.encoder(size=16)
    features = kv.embed(encoder, images)
    neighbours = kv.mine_neighbours(features, 4)

    def train(seed):
        model = train_scan(
            encoder, images, features, neighbours, 3, heads=2, epochs=3, seed=seed
        )
        return model.predict_clusters(images)[1]

    first = train(1)
    np.testing.assert_array_equal(first, train(1))
    assert not np.array_equal(first, train(2))
