"""The curves of a run as a picture."""

import os
from pathlib import Path

PANELS = {
    "loss": ("loss",),
    "terms, unweighted": ("invariance", "variance", "covariance"),
    "standard deviation of the embeddings": ("embedding_std",),
    "kNN top-1, validation": ("knn_top1",),
}


def draw_curves(rows: list[dict], path: Path, title: str) -> None:
    """Draws loss, terms, embedding std and kNN over the epochs.

    Args:
        rows: the rows of `RunFolder.read_history`.
        path: the PNG file to write.
        title: a line above the panels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.5), layout="constrained")
    figure.suptitle(title)
    for axes, (heading, names) in zip(figure.subplots(2, 2).flat, PANELS.items()):
        axes.set_title(heading, fontsize=10)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        drawn = [name for name in names if any(row.get(name) for row in rows)]
        for name in drawn:
            points = [(r["epoch"], r[name]) for r in rows if r.get(name) is not None]
            axes.plot(*zip(*points), marker="o", markersize=3, label=name)
        if not drawn:
            axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
        elif len(names) > 1:
            axes.legend()
    temporary = path.with_name(f".{path.name}.part")
    FigureCanvasAgg(figure).print_png(temporary)
    os.replace(temporary, path)
