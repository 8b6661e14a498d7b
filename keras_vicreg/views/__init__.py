"""Views: what is made of an image before the encoder sees it."""

from keras_vicreg.views.strong_views import StrongViews
from keras_vicreg.views.two_views import TwoViews

__all__ = ["StrongViews", "TwoViews"]
