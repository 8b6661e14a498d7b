"""`keras-vicreg evaluate | finetune | embed`: what they print, write and refuse."""

import argparse
import hashlib
import json
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
import toys
from photographs import save_images, save_splits

import keras_vicreg as kv
from keras_vicreg.commands import evaluate as evaluate_commands
from keras_vicreg.evaluation import fine_tune, knn, quality
from keras_vicreg.evaluation.accuracy import bootstrap_interval
from keras_vicreg.evaluation.held_out import hold_out
from keras_vicreg.evaluation.protocols import PROTOCOLS, measure, table
from keras_vicreg.evaluation.provenance import provenance
from keras_vicreg.evaluation.subsets import stratified_subset


def command(*words):
    """Runs a command as the command line does, without its process."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    shared = argparse.ArgumentParser(add_help=False)
    for name in ("evaluate", "finetune", "embed"):
        getattr(evaluate_commands, f"add_{name}")(commands, shared)
    options = parser.parse_args([str(word) for word in words])
    return options.command(options)


def load(photographs):
    """Train and test split."""
    return [
        kv.load_images(str(photographs), image_size=16, split=split, labels=True)
        for split in ("train", "test")
    ]


def test_help_needs_no_framework():
    code = (
        "import sys, argparse\n"
        "from keras_vicreg.commands import evaluate as c\n"
        "p = argparse.ArgumentParser(); s = p.add_subparsers()\n"
        "for add in (c.add_evaluate, c.add_finetune, c.add_embed):\n"
        "    add(s, argparse.ArgumentParser(add_help=False))\n"
        "assert not {'keras', 'numpy', 'tensorflow', 'sklearn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_evaluate_by_all_quick_protocols(run, encoder, photographs, tmp_path, capsys):
    names = "knn,linear,clustering,retrieval,quality"
    out = tmp_path / "found.json"
    words = ["evaluate", run, "--data", photographs, "--out", out]
    found = command(*words, "--protocol", names)
    stored = json.loads(out.read_text())[f"trained, on {photographs}"]
    assert stored.keys() == {*names.split(","), "measured on"}
    train, test = load(photographs)
    assert stored["knn"]["top1"] == knn(encoder, train, test).top1
    health = quality(kv.embed(encoder, test[0]))
    assert stored["quality"]["rankme"] == pytest.approx(health.rankme, rel=1e-5)
    assert len(stored["clustering"]["accuracy_interval"]) == 2
    assert 0 <= stored["retrieval"]["recall"]["1"] <= 1
    printed = capsys.readouterr().out
    assert f"On the 24 test images of {photographs}" in printed
    assert f"{found['knn']['top1']:.1%} (" in printed
    assert f"rank {health.rankme:.1f} of " in printed
    # Another protocol later keeps what is there.
    command(*words, "--protocol", "quality")
    assert json.loads(out.read_text())[f"trained, on {photographs}"] == stored


def test_results_name_their_encoder_their_data_and_the_versions(
    run, encoder, photographs
):
    found = command("evaluate", run, "--data", photographs)["measured on"]
    assert (run / "evaluation.json").exists()
    train, test = load(photographs)
    digest = hashlib.sha256()
    for array in test:
        digest.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    assert found["data"]["test"] == digest.hexdigest()
    assert found["data"]["train"] != found["data"]["test"]
    assert found["versions"]["keras"] == keras.__version__
    other = provenance(toys.encoder(size=16), train=train, test=test)
    assert other["encoder"] != found["encoder"]
    assert other["data"] == found["data"]


def test_without_labels_there_is_quality_and_a_word_on_the_rest(
    run, unlabelled, tmp_path, capsys
):
    words = ["evaluate", run, "--data", unlabelled, "--out", tmp_path / "found.json"]
    found = command(*words)
    assert found.keys() == {"quality", "measured on"}
    printed = capsys.readouterr().out
    assert "knn, linear, linear_sgd, clustering, retrieval need labels" in printed
    assert "On the 30 images without labels" in printed
    command(*words, "--protocol", "knn,quality")
    assert "quality; knn need labels" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"knn need labels, which .* has not"):
        command(*words, "--protocol", "knn")


def test_unknown_protocols_are_refused(run):
    with pytest.raises(ValueError, match=r"`protocol` must be among knn.*: magic"):
        command("evaluate", run, "--protocol", "knn,magic")


def test_measure_knows_every_protocol(encoder, photographs, monkeypatch):
    import importlib

    probes = importlib.import_module("keras_vicreg.evaluation.linear_probe")
    monkeypatch.setitem(probes.linear_probe.__kwdefaults__, "epochs", 1)
    results = measure(encoder, *load(photographs), PROTOCOLS)
    assert tuple(results) == PROTOCOLS
    assert results["linear_sgd"]["settings"]["protocol"] == "linear probe, sgd"
    assert json.loads(json.dumps(results)).keys() == results.keys()


def test_a_table_has_a_line_an_encoder_and_a_column_a_protocol():
    def result(top1):
        return {"top1": top1, "top1_interval": (top1 - 0.05, top1 + 0.05)}

    results = {"raw pixels": {"knn": result(0.5)}, "x": {"linear": result(0.25)}}
    assert table(results).splitlines() == [
        "                               knn                  linear",
        "raw pixels  50.0% (45.0% to 55.0%)                        ",
        "         x                          25.0% (20.0% to 30.0%)",
    ]
    widest = {"top1": 1.0, "top1_interval": (1.0, 1.0)}
    results["y"] = {"knn": widest, "linear": widest}
    assert {len(line) for line in table(results).splitlines()} == {10 + 2 * 27}


def test_finetune_writes_both_and_the_paired_difference(
    run, encoder, photographs, tmp_path, capsys
):
    out = tmp_path / "found.json"
    options = ["--labels", 0.5, "--epochs", 2, "--batch-size", 10]
    command(
        "finetune", run, "--data", photographs, *options, "--from-scratch", "--out", out
    )
    (found,) = json.loads(out.read_text()).values()
    train, test = load(photographs)
    expected = fine_tune(encoder, train, test, 0.5, epochs=2, batch_size=10)
    assert found["pretrained"]["top1"] == expected.top1
    assert found["pretrained"]["settings"]["train_images"] == 30
    assert found["pretrained"]["settings"]["encoder_rate"] == 0.01
    assert found["from scratch"]["settings"]["encoder_rate"] == 0.1
    gain = found["pretrained"]["top1"] - found["from scratch"]["top1"]
    assert found["difference"]["top1"] == pytest.approx(gain)
    low, high = found["difference"]["top1_interval"]
    assert low <= gain <= high
    printed = capsys.readouterr().out
    assert "2 epochs on 30 labels, seeds: 1" in printed
    assert "from scratch" in printed
    assert f"Pretrained is better by {100 * gain:+.1f} points" in printed


def test_a_paired_interval_is_that_of_resampled_differences():
    rng = np.random.default_rng(0)
    gain = rng.integers(-1, 2, 300) / 2
    draws = gain[rng.integers(0, 300, (10_000, 300))].mean(axis=1)
    expected = np.quantile(draws, [0.025, 0.975])
    np.testing.assert_allclose(bootstrap_interval(gain), expected, atol=0.004)


def test_finetune_in_the_run_folder_keeps_what_is_there(run, photographs):
    for share in (0.2, 0.5):
        command(
            "finetune", run, "--data", photographs, "--labels", share, "--epochs", 1
        )
    stored = json.loads((run / "finetune.json").read_text())
    assert list(stored) == [f"{s} of the labels of {photographs}" for s in (0.2, 0.5)]
    assert all("from scratch" not in found for found in stored.values())


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """A folder as ImageNet's: 30 images in train/, 12 in val/, a test/ without labels.

    The images of `photographs`, a class a colour.
    """
    counts = {"train": 30, "val": 12}
    folder = save_splits(tmp_path_factory.mktemp("imagenet"), counts)
    save_images(folder / "test", 3)
    return folder


def test_without_a_labelled_test_split_validation_is_measured_on_and_said_so(
    run, encoder, imagenet, capsys
):
    found = command("evaluate", run, "--data", imagenet)
    train, validation = (
        kv.load_images(imagenet, 16, split=split, labels=True)
        for split in ("train", "val")
    )
    assert found["knn"]["top1"] == knn(encoder, train, validation).top1
    assert found["knn"]["settings"]["split"] == "validation"
    said = capsys.readouterr().out
    assert "No labelled test split: measured on the validation split." in said
    assert "On the 12 validation images" in said
    stored = json.loads((run / "evaluation.json").read_text())
    assert list(stored) == [f"trained, on {imagenet}, validation"]


@pytest.mark.parametrize("spelling", ["val", "Valid", "validation", "dev", "val2017"])
def test_any_spelling_of_a_split_is_taken(run, imagenet, capsys, spelling):
    found = command("evaluate", run, "--data", imagenet, "--split", spelling)
    assert found["knn"]["settings"]["test_images"] == 12
    said = capsys.readouterr().out
    assert "No labelled" not in said
    assert "On the 12 validation images" in said


def test_splits_that_cannot_be_tested_are_refused(run, imagenet, photographs, capsys):
    words = ["evaluate", run, "--data", imagenet, "--split"]
    for bad in ("train", "Training", "all"):
        with pytest.raises(ValueError, match="`split` must be another than train"):
            command(*words, bad)
    with pytest.raises(ValueError, match="`labels=True` needs a source with labels"):
        command(*words, "test")
    with pytest.raises(ValueError, match=r"`split` must be one of .*'train'"):
        command(*words, "elsewhere")
    with pytest.raises(ValueError, match=r"`validation_split` holds .* out"):
        command("evaluate", run, "--data", photographs / "train")
    for bad in ("0", "1", "nan"):
        with pytest.raises(SystemExit):
            command(*words[:4], "--validation-split", bad)
    with pytest.raises(SystemExit):
        command(*words, "val", "--validation-split", "0.2")


def test_a_share_of_a_folder_without_splits_is_held_out(
    run, encoder, photographs, unlabelled, capsys
):
    data = photographs / "train"
    words = ["--data", data, "--validation-split", "0.2"]
    found = command("evaluate", run, *words)
    said = capsys.readouterr().out
    assert "Held out of the train split: 12 of 60 images, 0.2 of each class" in said
    assert "On the 12 held-out images" in said
    images, labels = kv.load_images(data, 16, labels=True)
    held = stratified_subset(labels, 0.2, seed=0)
    rest = np.setdiff1d(np.arange(60), held)
    pairs = [(images[rows], labels[rows]) for rows in (rest, held)]
    assert found["knn"]["top1"] == knn(encoder, *pairs).top1
    assert found["measured on"] == provenance(encoder, train=pairs[0], test=pairs[1])
    tuned = command("finetune", run, *words, "--epochs", "1")
    assert tuned["measured on"]["data"] == found["measured on"]["data"]
    assert tuned["pretrained"]["settings"]["split"] == "held-out"
    stored = json.loads((run / "finetune.json").read_text())
    assert list(stored) == [f"1 of the labels of {data}, 0.2 of train held out"]
    with pytest.raises(ValueError, match="`validation_split` must be left out without"):
        command("evaluate", run, "--data", unlabelled, *words[2:])


def test_every_class_stays_in_both_parts():
    labels = np.repeat([7, 3, 5], [2, 3, 40])
    images = np.arange(45)
    for share in (0.01, 0.2, 0.5, 0.99):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rest, held = hold_out(images, labels, share)
        few = [w for w in caught if "less than one image" in str(w.message)]
        assert len(few) == (share < 0.25)
        assert sorted([*rest[0], *held[0]]) == list(range(45))
        np.testing.assert_array_equal(held[1], labels[held[0]])
        for part in (rest, held):
            assert set(part[1]) == {3, 5, 7}
        assert (held[1] == 5).sum() == min(39, max(1, round(share * 40)))
    first, second = (hold_out(images, labels, 0.5, seed)[1][0] for seed in (0, 1))
    assert list(first) != list(second)
    with pytest.raises(ValueError, match="1 of 2 classes with one image"):
        hold_out(images[:3], [0, 0, 1], 0.5)


def test_embed_writes_representations_labels_and_class_names(
    run, encoder, photographs, tmp_path, capsys
):
    out = tmp_path / "found.npz"
    command("embed", run, "--data", photographs, "--split", "test", "--out", out)
    images, labels = load(photographs)[1]
    with np.load(out, allow_pickle=False) as stored:
        np.testing.assert_array_equal(
            stored["representations"], kv.embed(encoder, images)
        )
        np.testing.assert_array_equal(stored["labels"], labels)
        assert stored["class_names"].tolist() == ["class0", "class1"]
    assert "representations (24, 6)" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"found.npz", "run"}


def test_embed_without_labels_writes_representations_alone(run, unlabelled, tmp_path):
    out = tmp_path / "found.npz"
    command("embed", run, "--data", unlabelled, "--out", out)
    with np.load(out, allow_pickle=False) as stored:
        assert stored.files == ["representations"]
        assert stored["representations"].shape == (30, 6)


def test_a_source_that_is_none_is_refused(run, tmp_path):
    for name in ("evaluate", "finetune", "embed"):
        words = [name, run, "--data", tmp_path / "none", "--out", tmp_path / "out"]
        with pytest.raises(ValueError, match="no such folder"):
            command(*words)
    assert not (tmp_path / "out").exists()
