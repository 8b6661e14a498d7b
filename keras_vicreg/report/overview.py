"""The top of the page: what each run is, and the few numbers that matter most."""

from keras_vicreg.report.figures import between, duration, percent, significant
from keras_vicreg.report.html import Markup, element
from keras_vicreg.report.measured import Measured
from keras_vicreg.report.run import ReportedRun, without_folders
from keras_vicreg.runs.results import accuracy


def overview(runs: list[ReportedRun], measured: list[Measured]) -> Markup:
    """A card for each run."""
    found = {each.run.name: each for each in measured}
    return element(
        "div", [_card(run, found.get(run.name)) for run in runs], class_="cards"
    )


def run_name(run: ReportedRun) -> Markup:
    """The name of a run beside a sample of its line."""
    line = element("path", class_=f"line run-{run.number % 8}", d="M1 6L25 6")
    sample = element(
        "svg", line, viewBox="0 0 26 12", class_="sample", aria_hidden="true"
    )
    return element("span", sample, run.name, class_="run")


def key_of(runs: list[ReportedRun]) -> Markup | None:
    """The legend of the runs; a single one needs none."""
    if len(runs) < 2:
        return None
    return element("p", [run_name(run) for run in runs], class_="key")


def _card(run: ReportedRun, measured: Measured | None) -> Markup:
    recipe = run.recipe
    network = without_folders(recipe.encoder)
    if recipe.width != 1:
        network += f", width {recipe.width}"
    images = run.config.get("images")
    count = f"{images:,} images" if isinstance(images, int) else "the images"
    size = f" at {recipe.image_size} px" if recipe.image_size else ""
    told = (
        f"{network}, pretrained with {recipe.method} on {count} of {run.data_name}"
        f"{size}. {run.epochs:,} of {recipe.epochs:,} epochs done"
    )
    if run.seconds:
        told += f" in {duration(run.seconds)}"
    tiles = [
        element(
            "div", element("dt", name), element("dd", value, element("small", aside))
        )
        for name, value, aside in _numbers(run, measured)
    ]
    return element(
        "article",
        element("h3", run_name(run)),
        element("p", f"{told}."),
        element("dl", tiles),
        class_="card",
    )


def _numbers(run: ReportedRun, measured: Measured | None):
    """Name, value and a remark of each number that is there."""
    trained = run.results.get("trained", {})
    for protocol, name in (("knn", "kNN top-1"), ("linear", "Linear probe top-1")):
        if protocol in trained:
            value, interval = accuracy(trained[protocol])
            yield name, percent(value), between(interval)
    if measured is not None:
        most = len(measured.quality.singular_values)
        yield "RankMe", significant(measured.quality.rankme), f"of {most} directions"
    last = run.history[-1]
    for column, name in (("loss", "Loss"), ("embedding_std", "Embedding std")):
        if last.get(column) is not None:
            yield name, significant(last[column]), "last epoch"
