"""A report on pretraining runs: one HTML file that needs nothing else."""

from keras_vicreg.report.page import write_report

__all__ = ["write_report"]
