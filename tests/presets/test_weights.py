"""The built-in presets are what their cards say."""

import pytest

import keras_vicreg as kv
from keras_vicreg import zoo


@pytest.mark.parametrize("name", kv.list_presets())
def test_the_card_is_true(name):
    """Whatever it was trained on, its card says what it is worth on the sample."""
    manifest, _ = zoo.find_manifest(name)
    size = manifest.preprocessing["image_shape"][0]
    splits = [
        kv.load_images("sample", size, split=split, labels=True)
        for split in ("train", "test")
    ]
    found = kv.knn(kv.from_preset(name), *splits)
    on_card = {(m["name"], m["dataset"]): m["value"] for m in manifest.metrics}
    assert found.top1 == pytest.approx(on_card["kNN top-1", "sample"], abs=0.01)


@pytest.mark.every_backend
@pytest.mark.parametrize("name", kv.list_presets())
def test_pretraining_can_go_on(name):
    if zoo.find_manifest(name)[0].expander is None:
        with pytest.raises(kv.PresetError, match="an encoder without its expander"):
            kv.VICReg.from_preset(name)
        model = kv.VICReg(kv.from_preset(name), kv.expander((8, 8)))
    else:
        model = kv.VICReg.from_preset(name)
    images = kv.load_images("sample", model.encoder.input_shape[1], split="test")[:8]
    assert model.predict(images, verbose=0).shape == (8, model.expander.output_shape[1])
