"""Few labels: which ones, two learning rates, PyTorch's SGD, nothing from the test."""

import math

import keras
import numpy as np
import pytest
import toys

import keras_vicreg as kv
from keras_vicreg.evaluation import classifier as classifiers
from keras_vicreg.evaluation.classifier import build_classifier, train_classifier
from keras_vicreg.evaluation.fine_tune import fine_tune
from keras_vicreg.evaluation.sgd import TwoRateSGD
from keras_vicreg.evaluation.subsets import stratified_subset

QUICK = {"epochs": 4, "batch_size": 8, "encoder_rate": 0.1, "head_rate": 1.0}


def colours(count, seed):
    """Images whose class, 5, 6 or 9, is the colour that prevails."""
    number = np.random.default_rng(seed).permutation(np.arange(count) % 3)
    images = toys.images(count, seed=seed) // 3
    images[np.arange(count), :, :, number] += 60
    return images, np.array([5, 6, 9])[number]


@pytest.mark.every_backend
def test_subsets_are_stratified_and_equal_for_equal_seeds():
    labels = np.random.default_rng(0).choice(5, 1000, p=[0.5, 0.2, 0.2, 0.095, 0.005])
    for fraction in (0.01, 0.1, 0.5, 1.0):
        rows = stratified_subset(labels, fraction, seed=3)
        np.testing.assert_array_equal(rows, np.unique(rows))
        for number, count in enumerate(np.bincount(labels)):
            chosen = (labels[rows] == number).sum()
            assert chosen == max(1, round(fraction * count))
        np.testing.assert_array_equal(rows, stratified_subset(labels, fraction, seed=3))
    assert set(stratified_subset(labels, 0.01)) < set(stratified_subset(labels, 0.1))
    first, second = (stratified_subset(labels, 0.1, seed) for seed in (0, 1))
    assert len(set(first) & set(second)) < 30
    # The same on every backend and machine: these very images.
    np.testing.assert_array_equal(
        stratified_subset(np.arange(40) % 4, 0.2, seed=7), [0, 3, 9, 17, 18, 26, 32, 35]
    )


def test_a_fraction_out_of_range_is_refused():
    for fraction in (0, -0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="`fraction` must be more than 0"):
            stratified_subset([0, 1], fraction)


@pytest.mark.every_backend
def test_it_learns_from_few_labels_and_leaves_the_encoder_alone():
    train, test = colours(300, 0), colours(60, 1)
    encoder = toys.encoder()
    encoder.layers[2].trainable = False  # its owner's choice, for another purpose
    before = encoder.get_weights()
    result = fine_tune(
        encoder, train, test, 0.2, epochs=12, encoder_rate=0.1, head_rate=1.0
    )
    for old, new in zip(before, encoder.get_weights()):
        np.testing.assert_array_equal(new, old)
    assert not encoder.layers[2].trainable
    assert result.top1 > 0.85
    assert result.top1_interval[0] > 1 / 3
    assert result.settings["train_images"] == 60
    assert result.settings["batch_size"] == 16
    assert result.classes == (5, 6, 9)
    probabilities = result.model.predict(test[0], verbose=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    predicted = np.array(result.classes)[probabilities.argmax(axis=1)]
    np.testing.assert_array_equal(predicted, result.predictions)
    assert result.top1 == (predicted == test[1]).mean()
    # The copy learnt in all its layers.
    copy = result.model.layers[1]
    for old, new in zip(before, copy.get_weights()):
        assert not np.array_equal(new, old)


@pytest.mark.every_backend
def test_encoder_and_head_have_learning_rates_of_their_own(monkeypatch):
    monkeypatch.setattr(
        classifiers,
        "random_crops",
        lambda images, *_: keras.ops.cast(images, "float32"),
    )
    images, labels = toys.images(16), np.arange(16) % 3
    encoder = toys.encoder()

    def moves(encoder_rate, head_rate):
        """What one step changes in the encoder's kernel and in the head's."""
        model = build_classifier(encoder, 3, seed=0)
        kernels = [model.layers[1].layers[2].kernel, model.get_layer("head").kernel]
        before = [keras.ops.convert_to_numpy(kernel).copy() for kernel in kernels]
        train_classifier(
            model,
            images,
            labels,
            (8, 8),
            seed=0,
            epochs=1,
            batch_size=16,
            encoder_rate=encoder_rate,
            head_rate=head_rate,
            weight_decay=0.0,
        )
        after = [keras.ops.convert_to_numpy(kernel) for kernel in kernels]
        return [new - old for old, new in zip(before, after)]

    body, head = moves(0.5, 0.5)
    assert abs(body).max() > 1e-4
    for rates in ((1.5, 1.0), (0.0, 0.5)):
        moved = moves(*rates)
        np.testing.assert_allclose(
            moved[0], body * rates[0] / 0.5, rtol=1e-2, atol=1e-6
        )
        np.testing.assert_allclose(
            moved[1], head * rates[1] / 0.5, rtol=1e-2, atol=1e-6
        )


def test_the_optimizer_is_sgd_of_pytorch_with_two_parameter_groups():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    values = [rng.standard_normal((4, 3)).astype("float32") for _ in range(2)]
    ours = [keras.Variable(value) for value in values]
    theirs = [torch.tensor(value, requires_grad=True) for value in values]
    optimizer = TwoRateSGD(0.3, 0.1, encoder=ours[:1], weight_decay=0.05)
    groups = [
        {"params": theirs[:1], "lr": 0.3 * 0.1},
        {"params": theirs[1:], "lr": 0.3},
    ]
    peer = torch.optim.SGD(groups, 0, momentum=0.9, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(peer, 6)
    for epoch in range(6):
        optimizer.learning_rate = classifiers.cosine_by_epoch(0.3, epoch, 6)
        for _ in range(3):
            gradients = [rng.standard_normal((4, 3)).astype("float32") for _ in "ab"]
            optimizer.apply(
                [keras.ops.convert_to_tensor(each) for each in gradients], ours
            )
            for parameter, gradient in zip(theirs, gradients):
                parameter.grad = torch.tensor(gradient)
            peer.step()
            for own, other in zip(ours, theirs):
                np.testing.assert_allclose(
                    own.numpy(), other.detach().numpy(), rtol=1e-5, atol=1e-6
                )
        schedule.step()


def test_the_test_labels_decide_nothing_but_the_score():
    train, (images, labels) = colours(60, 0), colours(60, 1)
    encoder = toys.encoder()
    result = fine_tune(encoder, train, (images, labels), **QUICK)
    assert len(np.unique(result.predictions)) > 1
    shuffled = np.random.default_rng(1).permutation(labels)
    other = fine_tune(encoder, train, (images, shuffled), **QUICK)
    np.testing.assert_array_equal(other.predictions, result.predictions)
    assert other.top1_interval[0] < 1 / 3 < other.top1_interval[1]


def test_seeds_choose_other_images_and_are_averaged():
    train, test = colours(120, 0), colours(60, 1)
    encoder = toys.encoder()
    both = fine_tune(encoder, train, test, 0.2, seeds=(4, 2), **QUICK)
    alone = [fine_tune(encoder, train, test, 0.2, seeds=(s,), **QUICK) for s in (4, 2)]
    assert both.top1_by_seed == {4: alone[0].top1, 2: alone[1].top1}
    assert both.top1 == pytest.approx(np.mean([each.top1 for each in alone]))
    np.testing.assert_array_equal(both.predictions, alone[0].predictions)
    np.testing.assert_allclose(both.correct, (alone[0].correct + alone[1].correct) / 2)
    first, second = (stratified_subset(train[1], 0.2, seed) for seed in (4, 2))
    assert set(first) != set(second)


def test_a_joint_embedding_model_and_datasets_will_do():
    tf = pytest.importorskip("tensorflow")
    train, test = colours(48, 0), colours(24, 1)
    model = toys.vicreg()
    batches = [
        tf.data.Dataset.from_tensor_slices(part).batch(9) for part in (train, test)
    ]
    result = fine_tune(model, *batches, **QUICK)
    expected = fine_tune(model.encoder, train, test, **QUICK)
    np.testing.assert_array_equal(result.predictions, expected.predictions)


def test_defaults_are_the_authors_where_there_are_images_enough():
    from keras_vicreg.evaluation.fine_tune import _settings

    found = _settings(0.01, 12_811, None, None, None, None)
    assert (found["epochs"], found["batch_size"]) == (20, 256)
    assert (found["encoder_rate"], found["head_rate"]) == (0.03, 0.08)
    found = _settings(0.1, 128_116, None, None, None, None)
    assert (found["epochs"], found["batch_size"]) == (20, 256)
    assert (found["encoder_rate"], found["head_rate"]) == (0.01, 0.1)


def test_bad_arguments_say_what_is_wrong():
    data = colours(12, 0)
    for options, words in [
        ({"epochs": 0}, "`epochs` must be a positive integer"),
        ({"batch_size": 2.5}, "`batch_size` must be a positive integer"),
        ({"head_rate": 0.0}, "`head_rate` must be greater than 0 and finite"),
        ({"encoder_rate": -1.0}, "`encoder_rate` must be at least 0"),
        ({"encoder_rate": math.inf}, "`encoder_rate` must be at least 0 and finite"),
        ({"head_rate": math.nan}, "`head_rate` must be greater than 0 and finite"),
        ({"seeds": ()}, "`seeds` must hold at least one"),
        ({"label_fraction": 2}, "`fraction` must be more than 0"),
    ]:
        with pytest.raises(ValueError, match=words):
            fine_tune(toys.encoder(), data, data, **options)
    with pytest.raises(ValueError, match="`train` must be a pair"):
        fine_tune(toys.encoder(), data[0], data)
    with pytest.raises(ValueError, match="at least two classes"):
        fine_tune(toys.encoder(), (data[0], np.zeros(12, int)), data)


def test_a_result_is_ready_for_json():
    import json

    data = colours(24, 0)
    found = fine_tune(toys.encoder(), data, data, **QUICK).as_dict()
    stored = json.loads(json.dumps(found))
    assert stored["settings"]["momentum"] == 0.9
    assert set(stored) == {
        "top1",
        "top1_interval",
        "top5",
        "top1_by_seed",
        "classes",
        "settings",
    }
    assert kv.knn(None, data, data, 1).as_dict().keys() == {
        "top1",
        "top1_interval",
        "top5",
        "top1_by_k",
        "settings",
    }
