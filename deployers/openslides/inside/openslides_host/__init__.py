"""OpenSlides' side of a production host, which every container may import.

It runs on the Python and the Django of the image: 3.5 to 3.11, 1.10 to 2.2.
"""
