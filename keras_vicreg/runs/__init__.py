"""One pretraining run, from its recipe to its folder."""
