"""The card is what the Hub reads, holds what was measured, and keeps others' words."""

import ast
import json

import huggingface_hub
import preset_toys
import pytest
import yaml

from keras_vicreg import zoo
from keras_vicreg.presets import folder as folders
from keras_vicreg.presets import model_card


def test_the_card_is_read_by_the_hub(tmp_path):
    folder = tmp_path / "toy"
    zoo.save_to_preset(preset_toys.vicreg(), folder, **preset_toys.CARD)
    card = huggingface_hub.ModelCard.load(folder / "README.md")
    assert isinstance(card.data, huggingface_hub.ModelCardData)
    assert card.data.library_name == "keras"
    assert card.data.license == "cc0-1.0"
    assert card.data.datasets == ["uoft-cs/cifar10"]
    assert card.data.pipeline_tag == "image-feature-extraction"
    [result] = card.data.eval_results
    assert isinstance(result, huggingface_hub.EvalResult)
    assert (result.metric_value, result.dataset_split) == (0.25, "test")
    assert 'kv.from_preset("hf://user/toy")' in card.text
    assert 'keras.saving.load_model("hf://user/toy")' in card.text


def test_numbers_of_a_card_are_those_of_the_manifest(tmp_path):
    zoo.save_to_preset(preset_toys.encoder(), tmp_path / "toy")
    card = huggingface_hub.ModelCard.load(tmp_path / "toy" / "README.md")
    assert card.data.eval_results is None
    assert "Results" not in card.text


def test_words_of_a_person_stay_in_the_card(tmp_path):
    folder = tmp_path / "toy"
    zoo.save_to_preset(preset_toys.encoder(), folder, **preset_toys.CARD)
    readme = folder / "README.md"
    untouched = readme.read_bytes()
    zoo.save_to_preset(preset_toys.encoder(), folder, **preset_toys.CARD)
    assert readme.read_bytes() == untouched
    # Nobody has touched it: it is written anew.
    zoo.save_to_preset(preset_toys.encoder(), folder, license="mit")
    assert b"kNN" not in readme.read_bytes()
    # Somebody has: the text stays, the metadata follow, theirs before ours.
    text = readme.read_text().replace("# toy", "# My toy\n\nIt is *mine*.")
    readme.write_text(text.replace("---\n", "---\nlanguage: en\nlicense: gpl\n", 1))
    zoo.save_to_preset(preset_toys.encoder(), folder, **preset_toys.CARD)
    card = huggingface_hub.ModelCard.load(readme)
    assert "It is *mine*." in card.text
    assert (card.data.license, card.data.language) == ("gpl", "en")
    assert card.data.eval_results[0].metric_value == 0.25
    assert readme.read_text().count("library_name") == 1


def test_results_of_a_person_count_before_ours(tmp_path):
    folder = tmp_path / "toy"
    zoo.save_to_preset(preset_toys.encoder(), folder)
    theirs = {"name": "mine", "results": []}
    front = f"---\nmodel-index: [{json.dumps(theirs)}]\ntags: [mine]\n---\ntext\n"
    (folder / "README.md").write_text(front)
    zoo.save_to_preset(preset_toys.encoder(), folder, **preset_toys.CARD)
    _, front, text = (folder / "README.md").read_text().split("---\n")
    metadata = yaml.safe_load(front)
    assert metadata["model-index"] == [theirs]
    assert metadata["tags"] == ["mine"]
    assert metadata["license"] == "cc0-1.0"
    assert text == "text\n"


def test_a_card_without_front_matter_gets_one(tmp_path):
    folder = tmp_path / "toy"
    zoo.save_to_preset(preset_toys.encoder(), folder)
    words = b"# Hello\r\n\xff---\r\nno metadata"
    (folder / "README.md").write_bytes(words)
    zoo.save_to_preset(preset_toys.encoder(), folder)
    assert (folder / "README.md").read_bytes().endswith(words)
    assert (folder / "README.md").read_bytes().startswith(b"---\n# keras_vicreg")


@pytest.mark.parametrize(
    "handle",
    ["runs/my best run", "runs/it's", 'the "second" one', "back\\slash", "hügel"],
)
def test_the_example_is_python_whatever_the_folder_is_called(handle, tmp_path):
    zoo.save_to_preset(preset_toys.vicreg(), tmp_path / "toy", plain_keras=False)
    text = model_card.render(folders.read_manifest(tmp_path / "toy"), handle).decode()
    code = text.split("```python\n")[1].split("```")[0]
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    given = [
        call.args[0].value for call in calls if "from_preset" in ast.dump(call.func)
    ]
    assert given == [handle, handle]
