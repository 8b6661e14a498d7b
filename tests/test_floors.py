"""The rooms of the package: imports go downwards only, and never in a circle."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import keras_vicreg as kv

PACKAGE = Path(kv.__file__).parent
FLOORS = {
    "commands": 8,
    "report": 7,
    "pytorch": 7,
    "runs": 6,
    "methods": 5,
    "callbacks": 5,
    "zoo": 4,
    "hub": 3,
    "views": 3,
    "evaluation": 3,
    "presets": 2,
    "augment": 2,
    "data": 2,
    "devices": 1,
    "encoders": 1,
    "heads": 1,
    "optimizers": 1,
    "atomic_folder": 1,
    "epoch_lines": 1,
    "finite": 0,
    "terminal": 0,
}
KNOWS_THE_BACKEND = {
    "devices/distribute.py",
    "devices/microbatch.py",
    "devices/precision.py",
    "devices/rematerialization.py",
    "devices/replicas.py",
    "methods/train_step.py",
    "views/compiled.py",
}


def module_of(path: Path, package: Path) -> str:
    """`keras_vicreg/hub/calls.py` -> `hub.calls`; a room's `__init__.py` -> `hub`."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source: str) -> set[str]:
    """The modules and names of the package that a source needs: `hub.calls.call`.

    Counted wherever they stand, inside functions too, and through `kv.NAME`, which
    imports the home of the name.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = [f"keras_vicreg.{node.attr}"] if node.value.id == "kv" else []
        else:
            continue
        found |= {n.partition(".")[2] for n in names if n.startswith("keras_vicreg.")}
    return {f"{kv._CONTENTS.get(n) or n}.{n}" if n in kv.__all__ else n for n in found}


def needs(package: Path) -> dict[str, set[str]]:
    """Module -> the modules it imports, of the same package."""
    sources = {module_of(path, package): path for path in package.rglob("*.py")}
    sources.pop("")  # the table of contents names everything and imports nothing
    return {
        module: {
            target
            for name in imports_of(path.read_text())
            for target in [name if name in sources else name.rpartition(".")[0]]
            if target in sources
        }
        for module, path in sources.items()
    }


def upward(package: Path) -> list[str]:
    """The imports from a room that is not below."""
    return [
        f"{module} -> {target}"
        for module, targets in needs(package).items()
        for target in targets
        for here, there in [(module.partition(".")[0], target.partition(".")[0])]
        if here != there and FLOORS[there] >= FLOORS[here]
    ]


def test_every_room_has_a_floor_and_says_what_lives_there():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    alone = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert rooms | alone == set(FLOORS)
    assert len(alone) + 1 <= 8
    for room in rooms:
        tree = ast.parse((PACKAGE / room / "__init__.py").read_text())
        assert ast.get_docstring(tree).partition("\n")[0].endswith("."), room


def test_rooms_import_downwards_only():
    assert upward(PACKAGE) == []


def test_no_circle_of_imports():
    TopologicalSorter(needs(PACKAGE)).prepare()


@pytest.mark.parametrize(
    "line",
    [
        "from keras_vicreg.hub import pull",
        "from keras_vicreg import zoo",
        "import keras_vicreg.runs.folder",
        "def late():\n    from keras_vicreg.views import maker",
        "import keras_vicreg as kv\nbuild = lambda: kv.VICReg",
    ],
)
def test_an_import_upwards_is_noticed(line, tmp_path):
    package = tmp_path / "keras_vicreg"
    for path in PACKAGE.rglob("*.py"):
        copy = package / path.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    (package / "data" / "image_files.py").write_text(line)
    assert [found.partition(" -> ")[0] for found in upward(package)] == [
        "data.image_files"
    ]


def test_a_circle_is_noticed(tmp_path):
    for name, other in ("one", "two"), ("two", "one"):
        (tmp_path / f"{name}.py").write_text(f"from keras_vicreg import {other}")
    (tmp_path / "__init__.py").touch()
    with pytest.raises(CycleError):
        TopologicalSorter(needs(tmp_path)).prepare()


def test_only_the_permitted_files_branch_on_the_backend():
    branch = re.compile(r"backend\(\)\s*(==|!=|in\b|not in\b)")
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if branch.search(path.read_text())
    }
    assert found <= KNOWS_THE_BACKEND
    assert "methods/train_step.py" in found, "the expression finds nothing any more"
