"""The six faces of an image, named by the participant's body."""

from enum import StrEnum


class Face(StrEnum):
    """Face of the image grid, by the side of the body towards which it looks."""

    LEFT = "left"
    RIGHT = "right"
    ANTERIOR = "anterior"
    POSTERIOR = "posterior"
    SUPERIOR = "superior"
    INFERIOR = "inferior"
