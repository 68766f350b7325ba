"""Training data: captures of real units, and virtual devices fed with synthetic programme material."""
