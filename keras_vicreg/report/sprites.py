"""Thumbnails: many images in one picture, of which each element shows a part."""

import base64
import io

import numpy as np

from keras_vicreg.report.html import Markup, element
from keras_vicreg.views.preview import fit


class Sheet:
    """Images laid out in a square picture.

    Args:
        images: array `(n, height, width, channels)`, 0..255, n at least 1.
        name: the class of CSS that shows it.
        cell: int, size of a thumbnail in px; a multiple of 16, so that no block of the
            JPEG lies in two of them. Defaults to 64.
    """

    def __init__(self, images, name: str, cell: int = 64):
        self.name = name
        self.count = len(images)
        self.columns = int(np.ceil(np.sqrt(len(images))))
        self.rows = -(-len(images) // self.columns)
        scaled = np.clip(np.round(fit(np.asarray(images), (cell, cell))), 0, 255)
        height, width = scaled.shape[1:3]
        grid = np.full((self.rows * cell, self.columns * cell, 3), 255, "uint8")
        for index, picture in enumerate(scaled):
            top = index // self.columns * cell + (cell - height) // 2
            left = index % self.columns * cell + (cell - width) // 2
            grid[top : top + height, left : left + width] = picture
        self.grid = grid

    @property
    def style(self) -> str:
        """The rule of CSS that holds the picture."""
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(self.grid).save(file, "JPEG", quality=85, optimize=True)
        code = base64.b64encode(file.getvalue()).decode()
        return (
            f".{self.name}{{background-image:url(data:image/jpeg;base64,{code});"
            f"background-size:{100 * self.columns}% {100 * self.rows}%}}"
        )

    def position(self, index: int) -> str:
        """Where the image lies, as a background-position."""
        row, column = divmod(index, self.columns)
        x = 100 * column / max(1, self.columns - 1)
        y = 100 * row / max(1, self.rows - 1)
        return f"{x:.4g}% {y:.4g}%"

    def thumbnail(self, index: int, label: str, style: str = "") -> Markup:
        """An element that shows one image; `label` is what it is called."""
        return element(
            "i",
            class_=f"thumb {self.name}",
            role="img",
            aria_label=label,
            title=label,
            style=f"background-position:{self.position(index)};{style}",
        )
