"""The configuration of the runs side by side, with their differences marked."""

from keras_vicreg.report.figures import duration
from keras_vicreg.report.html import Markup, element, section, table
from keras_vicreg.report.overview import run_name
from keras_vicreg.report.run import ReportedRun, without_folders

UNKNOWN = "not recorded"  # by another version


def configuration(runs: list[ReportedRun]) -> Markup:
    """A table: a line for each setting, a column for each run."""
    settings = [_settings(run) for run in runs]
    progress = [_progress(run) for run in runs]
    names = list(dict.fromkeys(name for each in settings for name in each))
    rows, differences = [], 0
    for name in names:
        values = [each.get(name, UNKNOWN) for each in settings]
        differs = len(set(values) - {UNKNOWN}) > 1
        differences += differs
        mark = element("span", "differs", class_="differs") if differs else None
        cells = [element("b", each) if differs else each for each in values]
        rows.append([[name, mark], *cells])
    rows += [[name, *(each[name] for each in progress)] for name in progress[0]]
    counted = (
        f"{differences} of {len(names)} settings differ." if len(runs) > 1 else None
    )
    return section(
        "configuration",
        "Configuration",
        element("p", counted) if counted else None,
        table(["", *map(run_name, runs)], rows, class_="configuration"),
    )


def _settings(run: ReportedRun) -> dict[str, str]:
    """All of config.json as texts, the paths in it without their folders."""
    recipe = run.config["recipe"]
    lines = {
        name.replace("_", " "): _shown(value)
        for name, value in recipe.items()
        if name != "data_dir"
    }
    lines["images"] = _shown(run.config.get("images"))
    for name, version in run.config.get("versions", {}).items():
        lines[f"version of {name}" if name != "backend" else name] = _shown(version)
    lines["machine"] = _shown(run.config.get("machine"))
    return lines


def _progress(run: ReportedRun) -> dict[str, str]:
    """What is of this run alone, whatever its settings."""
    return {
        "started": _shown(run.config.get("started")),
        "epochs done": f"{run.epochs:,}",
        "time of the epochs": duration(run.seconds),
    }


def _shown(value) -> str:
    if value is None:
        return "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(without_folders(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
