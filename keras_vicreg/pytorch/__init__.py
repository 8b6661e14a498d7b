"""Checkpoints from PyTorch and back, read without running anything in them."""
