"""What the published pipelines do to each of the two views of an image."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ViewRecipe:
    """The strengths and probabilities of one view.

    The sequence is the same in all recipes: a random resized crop (bicubic), a flip
    with probability 0.5, a colour jitter with 0.8, grey with 0.2, a Gaussian blur of
    sigma 0.1 to 2 pixels, a solarization from 128 on.

    Args:
        scale: the least and the largest share of the area in a crop.
        jitter: strengths of brightness, contrast, saturation and hue.
        blur: probability of the blur.
        solarize: probability of the solarization.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.2, 0.1)
    blur: float = 0.0
    solarize: float = 0.0


STRONG = (0.8, 0.8, 0.8, 0.2)

RECIPES = {
    # Bardes et al., 2022: the authors' augmentations.py for ImageNet.
    "vicreg": (ViewRecipe(blur=1.0), ViewRecipe(blur=0.1, solarize=0.2)),
    # VICReg on CIFAR in solo-learn (da Costa et al., 2022).
    "vicreg_cifar": (ViewRecipe(scale=(0.2, 1.0), solarize=0.1),) * 2,
    # Chen et al., 2020.
    "simclr": (ViewRecipe(jitter=STRONG, blur=0.5),) * 2,
    # Grill et al., 2020, on CIFAR: without the blur.
    "byol": (ViewRecipe(), ViewRecipe(solarize=0.2)),
    # Zbontar et al., 2021, on CIFAR: that of BYOL.
    "barlow_twins": (ViewRecipe(), ViewRecipe(solarize=0.2)),
    # Ermolov et al., 2021, on CIFAR.
    "wmse": (ViewRecipe(scale=(0.2, 1.0), jitter=STRONG),) * 2,
}
