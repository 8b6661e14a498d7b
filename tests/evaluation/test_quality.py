"""Quality without labels: NumPy's own figures, and where they must fall."""

import json

import numpy as np
import pytest

from keras_vicreg.evaluation.quality import quality


def batch(rows=600, features=24, seed=0):
    """Correlated rows of unequal scales that are not centred."""
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((rows, features)) @ rng.standard_normal((features,) * 2)
    return (mixed * np.geomspace(0.1, 3, features) + 0.5).astype("float32")


def reference(z, positives):
    """Every figure by its definition, pair by pair."""
    z, positives = np.float64(z), np.float64(positives)
    values = np.linalg.svd(z, compute_uv=False)
    p = values / values.sum() + 1e-7
    shares = np.linalg.eigvalsh(np.cov(z, rowvar=False))
    shares = shares[shares > 0] / shares[shares > 0].sum()
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    others = positives / np.linalg.norm(positives, axis=1, keepdims=True)
    cosines, kernels = [], []
    for i in range(len(z)):
        for j in range(i):
            cosines.append(unit[i] @ unit[j])
            kernels.append(np.exp(-2 * ((unit[i] - unit[j]) ** 2).sum()))
    return {
        "rankme": np.exp(-(p * np.log(p)).sum()),
        "effective_rank": np.exp(-(shares * np.log(shares)).sum()),
        "std_mean": z.std(axis=0, ddof=1).mean(),
        "std_min": z.std(axis=0, ddof=1).min(),
        "mean_cosine": np.mean(cosines),
        "uniformity": np.log(np.mean(kernels)),
        "alignment": np.mean(((unit - others) ** 2).sum(axis=1)),
    }


@pytest.mark.parametrize(("rows", "features"), [(600, 24), (40, 100)])
def test_every_figure_equals_numpy(rows, features):
    z = batch(rows, features)
    positives = z + 0.3 * batch(rows, features, seed=1)
    found = quality(z, positives)
    for name, value in reference(z, positives).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-5), name
    spectrum = np.sqrt(np.linalg.eigvalsh(np.cov(z.T))[::-1].clip(0))
    spectrum = spectrum[: min(rows, features)]
    np.testing.assert_allclose(found.singular_values, spectrum, rtol=1e-5, atol=1e-5)


def test_uniformity_in_blocks_equals_that_of_all_pairs():
    z = batch(2500, 5)
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    distances = ((unit[:, None] - unit[None]) ** 2).sum(axis=-1)
    pairs = np.exp(-2 * distances[np.triu_indices(2500, 1)].astype("float64"))
    assert quality(z).uniformity == pytest.approx(np.log(pairs.mean()), rel=1e-5)


def test_white_noise_uses_every_direction():
    z = np.random.default_rng(0).standard_normal((4000, 32))
    found = quality(z)
    assert 31.5 < found.rankme <= 32.001
    assert 31.5 < found.effective_rank <= 32
    assert found.std_mean == pytest.approx(1, abs=0.02)
    assert abs(found.mean_cosine) < 0.01


def test_a_collapsed_batch_is_seen():
    row = batch(1, 32)
    found = quality(np.repeat(row, 100, axis=0), np.repeat(row, 100, axis=0))
    assert found.rankme == pytest.approx(1, abs=1e-3)
    assert found.effective_rank == 0
    assert found.std_mean == found.std_min == 0
    assert found.mean_cosine == pytest.approx(1)
    assert found.uniformity == pytest.approx(0, abs=1e-9)
    assert found.alignment == 0
    np.testing.assert_allclose(found.singular_values, 0, atol=1e-6)


def test_a_nearly_collapsed_batch_falls_on_every_count():
    rng = np.random.default_rng(0)
    healthy = rng.standard_normal((500, 32))
    sick = 5 + 1e-3 * healthy
    before, after = quality(healthy), quality(sick)
    assert after.rankme < 1.1 < before.rankme
    assert after.std_mean < 2e-3 < before.std_mean
    assert after.mean_cosine > 0.999 > before.mean_cosine
    assert after.uniformity > -0.01 > before.uniformity


def test_a_dimensionally_collapsed_batch_is_seen_where_the_std_is_not():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((1000, 4)) @ rng.standard_normal((4, 64))
    found = quality(z)
    assert 3 < found.rankme < 4.001
    assert 2.5 < found.effective_rank <= 4.001
    assert found.std_mean > 1
    assert found.std_min > 0.1
    assert abs(found.mean_cosine) < 0.05
    np.testing.assert_allclose(found.singular_values[4:], 0, atol=1e-6)
    dead = rng.standard_normal((1000, 8))
    dead[:, 3] = 2
    assert quality(dead).std_min == 0


def test_zeros_are_no_error():
    found = quality(np.zeros((10, 4)))
    assert found.rankme == pytest.approx(1, abs=1e-4)
    assert (found.effective_rank, found.mean_cosine) == (0, 0)


def test_alignment_needs_positives_and_all_of_it_is_json():
    found = quality(batch(20, 4))
    assert found.alignment is None
    stored = json.loads(json.dumps(found.as_dict()))
    assert len(stored["singular_values"]) == 4
    assert stored["rankme"] == found.rankme


def test_bad_arguments_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"`z` must be of the shape.*\(1, 4\)"):
        quality(np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"`z` must be of the shape.*\(2, 4, 4\)"):
        quality(np.zeros((2, 4, 4)))
    with pytest.raises(ValueError, match=r"shape of `z`.*\(3, 4\) and \(2, 4\)"):
        quality(np.zeros((2, 4)), np.zeros((3, 4)))
    z = np.zeros((5, 4))
    z[2, 1] = np.inf
    with pytest.raises(ValueError, match="1 of 5 rows, the first at index 2"):
        quality(z)
