"""Embeddings and codes from audio at scale (docs/features.md)."""
