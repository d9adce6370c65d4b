"""Runs on disk: checkpoints, metrics, and opening what was trained."""
