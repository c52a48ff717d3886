"""Synthetic repair traces for SFT."""
