"""What is OpenSlides' own: one file per major version, and nothing of it anywhere else."""
