"""What brings a version of OpenSlides onto a host."""
