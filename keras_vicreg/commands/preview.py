"""`keras-vicreg preview`: its options, and what it does.

Nothing is imported before the command runs, so that `--help` answers at once.
"""

import os

from keras_vicreg.commands.options import LARGEST_SEED, output_file, whole
from keras_vicreg.terminal import printable


def add_preview(commands, shared) -> None:
    """Adds `keras-vicreg preview` to the subparsers."""
    parser = commands.add_parser(
        "preview",
        parents=[shared],
        help="a picture of images beside their views",
        description="Draws images and, to the right of each, its views: what the "
        "encoder will see.",
    )
    parser.set_defaults(command=run_preview)
    add = parser.add_argument
    add("--data", default="sample", help="sample, a folder, tfds:NAME or hf:NAME")
    add("--data-dir", help="where tfds: and hf: data sets are prepared")
    add("--recipe", default="vicreg", help="of the views; default: vicreg")
    add(
        "--image-size",
        type=whole(1),
        help="of the views, px; default: that of the images",
    )
    add("--count", type=whole(1), default=16, help="number of images; default: 16")
    add("--seed", type=whole(0, LARGEST_SEED), default=0, help="of all; default: 0")
    add("--out", type=output_file, default="views.png", help="default: views.png")


def run_preview(options) -> None:
    """`keras-vicreg preview`."""
    import numpy as np
    from PIL import Image

    import keras_vicreg as kv
    from keras_vicreg.data.folder_report import announce
    from keras_vicreg.views.preview import preview

    announce(options.data)
    images = kv.load_images(
        options.data, image_size=options.image_size, data_dir=options.data_dir
    )
    if not 1 <= options.count <= len(images):
        raise ValueError(
            f"`count` must be at least 1 and at most {len(images)}, the number of "
            f"images. Received: count={options.count}"
        )
    order = np.random.default_rng(options.seed).permutation(len(images))
    chosen = images[np.sort(order[: options.count])]
    size = options.image_size or images.shape[1:3]
    views = kv.TwoViews(size, recipe=options.recipe, seed=options.seed)(chosen)
    temporary = f"{options.out}.part"
    Image.fromarray(preview(chosen, views)).save(temporary, "PNG")
    os.replace(temporary, options.out)
    print(f"Written: {printable(options.out)}, {options.count} images and their views")
