"""Builds container images of OpenSlides, without any registry. README.md says how to use them."""
