"""Pretrain image encoders without labels in Keras 3: VICReg and its siblings.

This is the table of contents. Names are imported when they are first used, so that
`import keras_vicreg` costs nothing before it is put to work.
"""

import importlib

__version__ = "0.1.0"

_CONTENTS = {
    # encoders and heads
    "encoder": "encoders",
    "ENCODERS": "encoders",
    "expander": "heads",
    "convert_torch": "pytorch.convert",
    "export_torch": "pytorch.convert",
    # methods
    "METHODS": "methods",
    "VICReg": "methods.vicreg",
    "VICRegLoss": "methods.vicreg",
    "vicreg_terms": "methods.vicreg",
    "BarlowTwins": "methods.barlow_twins",
    "SimCLR": "methods.simclr",
    "MoCo": "methods.moco",
    "SwAV": "methods.swav",
    "BYOL": "methods.byol",
    "SimSiam": "methods.simsiam",
    "WMSE": "methods.wmse",
    "SCAN": "methods.scan",
    "barlow_twins_terms": "methods.barlow_twins",
    "simclr_terms": "methods.simclr",
    "moco_terms": "methods.moco",
    "swav_terms": "methods.swav",
    "byol_terms": "methods.byol",
    "simsiam_terms": "methods.simsiam",
    "wmse_terms": "methods.wmse",
    "scan_terms": "methods.scan",
    "self_label": "methods.self_labelling",
    # views
    "TwoViews": "views",
    "StrongViews": "views",
    "augment": None,
    # optimization
    "LARS": "optimizers",
    "warmup_cosine": "optimizers",
    "recommended_learning_rate": "optimizers",
    "callbacks": None,
    # devices
    "distribution": "devices.distribute",
    # data
    "load_images": "data",
    "class_names": "data",
    # evaluation
    "embed": "evaluation",
    "knn": "evaluation",
    "linear_probe": "evaluation",
    "fine_tune": "evaluation",
    "quality": "evaluation",
    "clustering": "evaluation",
    "retrieval": "evaluation",
    "mine_neighbours": "evaluation",
    # presets
    "from_preset": "zoo",
    "save_to_preset": "zoo",
    "list_presets": "zoo",
    "upload_preset": "hub",
    "PresetError": "presets",
}

__all__ = sorted([*_CONTENTS, "__version__"])


def __getattr__(name):
    if name not in _CONTENTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _CONTENTS[name]
    module = importlib.import_module(f"{__name__}.{home or name}")
    value = getattr(module, name) if home else module
    globals()[name] = value
    return value


def __dir__():
    return __all__
