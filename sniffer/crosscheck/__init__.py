"""A second opinion: the same capture through dissectors that have nothing to do with us."""
