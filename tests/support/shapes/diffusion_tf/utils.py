"""An empty place of the paper's utils.py."""
