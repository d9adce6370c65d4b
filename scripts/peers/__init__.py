"""Adapters of single repositories, and the record that is made by running them: see scripts/peers.py."""
