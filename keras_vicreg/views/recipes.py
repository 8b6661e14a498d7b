"""What the published pipelines do to each of the two views of an image."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ViewRecipe:
    """The strengths and probabilities of one view.

    The sequence is the same in all recipes: a random resized crop (bicubic), a flip
    with probability 0.5, a colour jitter with 0.8, grey, a Gaussian blur of sigma 0.1
    to 2 pixels, a solarization from 128 on.

    Args:
        scale: the least and the largest share of the area in a crop.
        jitter: strengths of brightness, contrast, saturation and hue.
        grey: probability of grey.
        blur: probability of the blur.
        solarize: probability of the solarization.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.2, 0.1)
    grey: float = 0.2
    blur: float = 0.0
    solarize: float = 0.0


STRONG = (0.8, 0.8, 0.8, 0.2)
HALF = (0.4, 0.4, 0.4, 0.1)

RECIPES = {
    # Bardes et al., 2022: the authors' augmentations.py for ImageNet.
    "vicreg": (ViewRecipe(blur=1.0), ViewRecipe(blur=0.1, solarize=0.2)),
    # VICReg on CIFAR in solo-learn (da Costa et al., 2022).
    "vicreg_cifar": (ViewRecipe(scale=(0.2, 1.0), solarize=0.1),) * 2,
    # Chen et al., 2020.
    "simclr": (ViewRecipe(jitter=STRONG, blur=0.5),) * 2,
    # The same on CIFAR: half the strength, without the blur (appendix B.9).
    "simclr_cifar": (ViewRecipe(jitter=HALF),) * 2,
    # Chen et al., 2020 (MoCo v2), and Chen, He, 2021 (SimSiam).
    "moco": (ViewRecipe(scale=(0.2, 1.0), jitter=HALF, blur=0.5),) * 2,
    # Chen, He, 2021, on CIFAR: without the blur.
    "moco_cifar": (ViewRecipe(scale=(0.2, 1.0), jitter=HALF),) * 2,
    # Grill et al., 2020, on CIFAR: without the blur.
    "byol": (ViewRecipe(), ViewRecipe(solarize=0.2)),
    # Zbontar et al., 2021, on CIFAR: that of BYOL.
    "barlow_twins": (ViewRecipe(), ViewRecipe(solarize=0.2)),
    # Ermolov et al., 2021, on CIFAR.
    "wmse": (ViewRecipe(scale=(0.2, 1.0), jitter=HALF, grey=0.1),) * 2,
}

# Caron et al., 2020 (SwAV): with local views the crops of the two global ones are
# no smaller than this share of the area, those of the local ones between these, which
# are small by this fraction of a side.
GLOBAL_SHARE = 0.14
LOCAL_SCALE = (0.05, 0.14)
LOCAL_SIDE = 3 / 7
# Of small images such crops would be a few pixels: da Costa et al., 2022, on CIFAR.
SMALL = 64
SMALL_GLOBAL_SHARE = 0.2
SMALL_LOCAL_SCALE = (0.08, 0.5)
SMALL_LOCAL_SIDE = 9 / 16


def views_of(recipe: str, size, local_views: int = 0, local_size=None):
    """The size and the `ViewRecipe` of every view, the two global ones first.

    Args:
        recipe: a key of `RECIPES`.
        size: pair of ints, height and width of the global views.
        local_views: int, how many local views follow, with the steps of the first
            and the second view in turn. Defaults to `0`.
        local_size: optional pair of ints. Defaults to `None`, 3/7 of `size`, up to 64
            px 9/16.

    Returns:
        A list of pairs `(size, ViewRecipe)`.
    """
    pair = RECIPES[recipe]
    if not local_views:
        return [(size, view) for view in pair]
    small = max(size) <= SMALL
    share = SMALL_GLOBAL_SHARE if small else GLOBAL_SHARE
    scale = SMALL_LOCAL_SCALE if small else LOCAL_SCALE
    fraction = SMALL_LOCAL_SIDE if small else LOCAL_SIDE
    local_size = local_size or tuple(max(1, round(side * fraction)) for side in size)
    share = max(share, pair[0].scale[0])
    wide = [dataclasses.replace(view, scale=(share, 1.0)) for view in pair]
    close = [dataclasses.replace(view, scale=scale) for view in pair]
    return [(size, view) for view in wide] + [
        (local_size, close[index % 2]) for index in range(local_views)
    ]
