"""The built-in presets are what their cards say."""

import pytest

import keras_vicreg as kv
from keras_vicreg import presets


@pytest.mark.parametrize("name", kv.list_presets())
def test_the_card_is_true(name):
    """The published float16 weights reach the accuracy that the run measured."""
    manifest, _ = presets.find_manifest(name)
    if manifest.dataset["name"] != "sample":
        pytest.skip("its images are not embedded")
    size = manifest.preprocessing["image_shape"][0]
    splits = [
        kv.load_images("sample", size, split=split, labels=True)
        for split in ("train", "test")
    ]
    found = kv.knn(kv.from_preset(name), *splits)
    on_card = {metric["name"]: metric["value"] for metric in manifest.metrics}
    assert found.top1 == pytest.approx(on_card["kNN top-1"], abs=0.01)


@pytest.mark.parametrize("name", kv.list_presets())
def test_pretraining_can_go_on(name):
    model = kv.VICReg.from_preset(name)
    images = kv.load_images("sample", model.encoder.input_shape[1], split="test")[:8]
    assert model.predict(images, verbose=0).shape == (8, model.expander.output_shape[1])
