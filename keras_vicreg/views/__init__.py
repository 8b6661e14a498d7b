"""Views: what is made of an image before the encoder sees it."""

from keras_vicreg.views.two_views import TwoViews

__all__ = ["TwoViews"]
