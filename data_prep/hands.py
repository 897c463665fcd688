"""
Digits as people write them whose hands are in no dataset that may be trained on: a 1 that is nearly a lambda, a 4 like
an h, a 9 whose loop crosses its stem, a 0 that ends in a tail.

MNIST was written in one country and the custom pictures in another. Every style here is one of those that are described
as usual somewhere (https://en.wikipedia.org/wiki/Regional_handwriting_variation), given by the few points that a pen
passes; each digit that is drawn bends, slants and stretches them anew.
"""

import numpy as np
import torch
from PIL import Image

from .drawing import write_strokes
from .mnist import FRAME_SIZE

_STEM = "0,0 0,0 0,100 0,100"
"""The plainest 1 there is, which MNIST's people drew with a thick pen and hardly ever upright."""

_STEM_SHARE = 0.5
"""Share of the ones that are no more than that, often as straight as if they were ruled."""

# x to the right and y down, the digit from y 0 to 100; a point that is said twice is a corner; "/" lifts the pen
_STYLES = {
    "0": [
        "30,0 5,25 0,55 12,90 32,100 55,80 60,45 50,12 30,0 18,6",
        "35,2 8,25 0,60 15,95 38,100 60,75 60,35 42,5 30,5 38,20 60,20 95,6",  # a tail to the next one
        "40,4 10,20 0,60 15,95 40,100 62,70 58,25 40,2 45,-5 70,-2 100,-12",
        "-35,20 0,8 40,2 10,20 0,60 15,95 40,100 62,70 58,25 36,4",  # a stroke from the one before
        "25,15 45,0 10,8 0,55 15,95 38,100 60,75 60,35 42,4 28,8 30,25",  # a small loop where it closes
        "30,0 5,25 0,55 12,90 32,100 55,80 60,45 50,12 30,0 18,6 / 62,-2 62,-2 -4,102 -4,102",
        "-45,92 -20,100 20,100 50,80 55,35 35,0 8,12 0,50 15,92 50,100 95,98",  # on a line that joins it to both sides
        "10,25 35,0 75,5 100,40 80,85 35,95 0,70 5,30 40,5 70,-5",  # wide
        "0,0 0,0 60,0 60,0 58,100 58,100 2,100 2,100 0,0 0,0",  # square
        "60,10 25,0 0,45 12,92 40,98 65,65 55,15 30,12 28,35 60,30 100,10",  # a loop that opens to the next one
        "30,100 5,80 0,40 25,5 50,15 58,55 40,95 20,98 60,92 110,95",  # on a line that joins it to the next one
        "-50,95 10,98 0,50 25,5 52,20 55,65 30,100 70,95 105,92",
        "105,85 50,104 5,62 22,6 58,0 84,38 62,88 12,102 -25,90",  # like a Q
    ],
    "1": [
        "0,25 30,0 30,0 25,100 25,100",
        "0,55 38,0 38,0 34,100 34,100",  # an upstroke half as long as the stem
        "0,85 45,0 45,0 40,100 40,100",  # or as long as it
        "0,70 28,20 42,0 46,12 40,50 34,100",  # with a round top
        "0,65 35,10 40,0 30,0 28,12 30,50 26,100",  # with a loop at its top
        "0,28 25,0 25,0 25,100 25,100 / 0,100 0,100 52,99 52,99",  # with a foot
        "0,35 28,0 28,0 22,82 30,100 52,88",
        "-30,95 5,75 35,15 30,0 18,15 10,60 12,95 28,100",  # a narrow loop
        "-25,95 10,65 42,12 38,-2 24,10 8,55 2,100",
        "0,30 32,0 32,0 28,94 28,94 / 0,106 0,106 62,86 62,86",  # on a foot that slants
        "0,70 40,0 40,0 36,98 36,98 / 0,100 0,100 80,96 80,96",  # on a foot
    ],
    "2": [
        "2,25 12,5 35,0 55,15 50,40 25,70 0,100 0,100 65,100 65,100",
        "4,28 12,5 35,0 55,15 50,40 28,75 8,98 -2,88 12,80 38,94 62,100 78,88",  # a loop at its foot
        "20,30 6,26 10,6 36,0 58,16 50,42 26,74 2,96 2,96 30,90 66,100",
        "12,36 0,20 20,0 50,4 62,28 46,64 16,96 2,90 12,78 36,90 72,102",  # nearly a Q
        "38,45 10,42 2,18 25,0 52,8 58,32 40,68 8,92 2,85 18,82 48,98 75,92",  # its loop is nearly closed
        "40,50 8,48 0,20 25,0 60,12 62,45 40,80 15,92 30,98 85,100",  # its loop is closed, its foot small
        "30,45 8,40 4,12 30,0 58,15 52,50 25,85 5,98 2,88 20,85 60,100 85,95",
        "20,35 0,20 15,0 48,5 52,40 25,75 0,85 -5,70 20,68 50,90 80,100",  # a large loop at its foot
        "0,0 0,0 55,0 55,0 55,48 55,48 0,52 0,52 0,100 0,100 58,100 58,100",  # square
        "30,42 4,30 8,6 36,-2 58,16 50,46 20,80 0,100 0,100 70,98 70,98",
        "34,56 8,44 6,14 36,0 62,20 54,48 36,60 12,88 14,96 40,92 66,98",  # a 9 on a foot
        "20,50 4,30 14,6 40,0 58,18 50,44 22,84 4,96 0,86 16,84 44,98 66,90",
        "45,42 25,52 12,28 30,0 50,6 48,32 25,70 2,96 -4,84 14,80 40,98 70,104",  # of two loops
        "30,54 18,32 36,0 58,10 50,42 24,80 0,98 -8,86 18,82 58,100",
    ],
    "3": [
        "2,15 25,0 50,12 48,35 22,47 22,47 52,58 60,80 35,100 0,88",
        "0,2 0,2 55,0 55,0 22,40 22,40 50,50 60,75 40,100 0,90",  # a flat top
        "2,15 25,0 50,15 40,40 16,50 20,42 42,48 58,70 40,98 0,90",  # a loop in its middle
        "0,0 0,0 55,0 55,0 55,48 55,48 12,48 12,48 55,48 55,48 55,100 55,100 0,100 0,100",  # square
        "0,0 0,0 58,0 58,0 8,42 8,42 58,44 58,44 4,100 4,100",  # of straight strokes
        "0,5 30,-2 55,10 45,32 22,44 22,44 50,52 52,78 25,102 0,110 5,95 30,80",  # it goes on below itself
    ],
    "4": [
        "45,0 45,0 0,65 0,65 70,65 70,65 / 47,0 47,0 46,100 46,100",
        "10,0 10,0 0,50 0,50 60,50 60,50 / 55,0 55,0 50,100 50,100",  # open
        "32,0 32,0 0,62 0,62 70,56 70,56 / 52,32 52,32 38,100 38,100",  # like an h
        "34,0 34,0 2,54 8,62 36,50 58,26 58,26 44,100 44,100",  # without lifting the pen
        "6,4 4,38 24,50 50,36 60,4 60,4 55,50 44,100",  # like a y
        "28,0 0,60 10,64 62,56 62,56 / 50,20 50,20 46,70 36,100",
        "28,0 28,0 0,60 0,60 55,60 55,60 / 42,38 42,38 34,100 34,100",  # an L and a short stroke
        "30,0 12,35 2,62 20,60 45,42 45,42 42,70 40,100",
        "22,0 10,50 8,62 26,55 50,48 48,72 44,100",  # an h
        "30,0 30,0 5,92 5,92 20,58 44,48 50,62 42,100",
        "34,0 34,0 0,80 4,88 25,62 48,45 48,45 40,100",
        "35,0 10,25 0,55 15,68 75,62 75,62 / 50,20 50,20 48,70 38,100",  # its first stroke bent
    ],
    "5": [
        "10,2 10,2 5,42 5,42 30,38 55,55 50,85 20,100 0,90 / 10,2 10,2 60,0 60,0",
        "60,0 60,0 15,2 15,2 8,42 8,42 32,36 55,55 50,88 20,100 0,90",
        "60,3 25,2 8,20 20,42 48,58 50,85 20,100 0,92",  # like an S
        "60,-5 30,0 5,35 5,42 45,48 45,62 5,100",
        "55,2 12,5 8,45 35,38 52,62 35,98 5,85 8,60",  # its belly is nearly closed
        "42,0 14,8 6,42 30,32 55,55 44,95 8,98 4,72 26,64",
        "10,10 10,10 5,45 5,45 30,42 55,58 50,86 20,100 0,90 / 20,6 20,6 75,-6 75,-6",  # a flag on its own
        "6,0 6,0 4,40 4,40 32,36 52,58 44,88 12,98 / 8,-4 8,-4 95,-14 95,-14",  # a long flag
        "55,0 55,0 0,0 0,0 0,48 0,48 55,52 55,52 55,100 55,100 0,100 0,100",  # square
        "40,0 18,8 14,30 34,48 40,75 22,98 0,92 / 40,0 40,0 75,-4 75,-4",
        "52,0 52,0 12,40 12,40 52,50 52,50 0,100 0,100",  # like a flash
        "0,50 14,100 14,100 42,2 42,2 95,-4 95,-4",  # like a tick, or a root
        "2,40 10,70 18,98 26,70 40,4 40,4 85,0 85,0",
    ],
    "6": [
        "50,0 20,20 2,60 10,92 30,100 52,85 50,62 30,52 10,65",
        "35,0 35,0 5,55 5,85 25,100 50,88 48,62 25,55 6,75",  # a straight back
        "10,0 10,0 0,95 0,95 50,100 50,100 50,50 50,50 2,52 2,52",  # square
        "52,0 52,0 0,48 0,48 0,100 0,100 52,100 52,100 52,50 52,50 2,48 2,48",  # of straight strokes
        "55,12 45,0 20,15 2,55 10,92 32,100 55,80 48,55 20,55 8,75",
        "48,0 14,30 0,70 14,98 40,96 52,72 34,58 10,72 24,88 60,76",  # a tail to the next one
        "40,12 15,5 0,40 5,85 40,100 75,85 70,55 35,48 8,68",  # flat
        "45,18 25,5 2,35 4,80 30,100 60,82 55,50 25,45 6,62 20,75",
    ],
    "7": [
        "0,2 0,2 60,0 60,0 20,100 20,100",
        "0,2 0,2 60,0 60,0 25,100 25,100 / 8,50 8,50 62,45 62,45",
        "0,22 4,2 4,2 60,0 60,0 25,100 25,100 / 8,52 8,52 62,46 62,46",  # a hook and a bar
        "0,22 4,2 4,2 60,0 60,0 25,100 25,100",
        "0,15 15,0 35,10 60,0 60,0 35,45 20,100",  # a wave
        "0,12 28,2 62,2 50,30 25,70 20,100 / 10,55 10,55 60,48 60,48",
        "0,14 8,0 24,6 44,2 44,2 34,45 26,100 / 2,55 2,55 58,46 58,46",  # a small head and a bar
        "4,20 12,2 26,12 40,6 52,-4 40,40 26,100 / 0,58 0,58 64,44 64,44",
        "5,8 30,0 52,8 54,30 40,70 30,100 / 12,52 12,52 75,46 75,46",  # round
        "4,20 4,2 10,2 30,4 38,0 38,0 36,100 36,100 / 4,56 4,56 76,52 76,52",  # a small head on a stem with a long bar
        "2,14 12,0 28,8 34,2 34,2 32,50 28,100 / 0,54 0,54 68,46 68,46",
        "2,8 18,18 34,10 36,-2 26,2 30,30 24,100 / 0,58 0,58 60,50 60,50",  # a loop for a corner
        "2,10 16,0 40,0 40,0 34,60 24,92 16,84 26,76 44,92",  # a loop at its foot
        "6,32 2,12 20,2 42,14 58,0 58,0 42,50 22,100 / 0,62 18,50 40,60 62,50",
        "34,28 14,22 18,2 44,4 44,4 38,52 20,100 / 0,56 0,56 64,44 64,44",  # its head is a loop
        "6,14 18,0 40,4 48,18 44,45 32,80 14,100 0,84 14,62 44,50 110,46",  # from its foot the pen goes on to the bar
        "0,14 10,2 52,0 46,22 24,70 4,100 -4,86 16,50 50,36 115,26",
        "2,16 6,2 6,2 54,0 54,0 36,56 18,96 4,98 4,80 30,60 95,52",
    ],
    "8": [
        "50,10 30,0 10,15 20,40 45,60 50,85 28,100 5,85 15,60 40,38 50,12 42,3",
        "30,0 10,10 10,35 30,46 48,33 48,10 30,0 22,2 / 30,46 3,60 5,90 30,100 55,88 55,60 30,46 20,48",
        "15,0 20,30 45,60 50,85 28,100 5,85 15,60 40,35 55,2",  # open
        "45,5 20,0 8,20 25,38 45,28 42,6 25,2 / 25,40 2,62 8,95 40,98 55,70 30,42 20,44",  # a circle on a circle
        "55,15 35,0 12,12 22,35 50,55 55,85 28,100 4,85 12,65 35,45",  # open at its right
        "0,0 0,0 55,0 55,0 55,100 55,100 0,100 0,100 0,0 0,0 / 2,50 2,50 54,50 54,50",  # square
        "48,8 28,-2 6,14 14,38 38,48 38,48 8,58 0,84 24,102 50,88 44,62 26,50",
        "14,48 8,18 28,0 48,10 42,34 14,48 2,72 14,98 42,98 60,74 44,48 16,48",
        "12,44 12,14 40,0 70,10 66,36 30,48 4,66 10,92 50,98 78,78 66,52 24,46",  # flat
        "6,0 6,0 4,100 4,100 42,96 56,76 44,54 8,48 8,48 40,42 48,22 34,2 2,2",  # nearly a B
        "8,48 4,4 36,0 52,18 42,40 10,48 10,48 46,54 58,78 40,98 2,98 8,48",
    ],
    "9": [
        "50,10 25,0 3,20 10,45 35,45 52,15 52,15 50,100 50,100",
        "50,10 25,0 3,20 10,45 35,45 52,15 50,60 35,95 5,98",
        "50,8 25,0 3,20 12,45 40,40 52,10 52,10 50,75 30,100 5,90",  # like a g
        "0,46 36,42 56,18 34,0 8,14 18,42 38,66 34,100",  # its loop crosses the stem
        "6,30 12,6 36,0 58,14 52,38 28,46 8,34 / 30,44 30,44 26,100 26,100",
        "10,40 4,14 30,0 54,14 48,40 30,50 14,44 34,56 36,76 30,100 22,84 34,60",  # a small loop at its foot
        "14,100 18,40 14,12 36,0 60,14 52,40 28,50 8,42",  # like a P
        "28,52 6,38 8,8 32,0 54,18 48,42 28,52 26,75 26,100",  # a loop on a stick
        "20,100 18,48 8,26 20,4 44,0 56,24 40,46 20,50",  # a loop on the right of its stem
        "24,52 4,36 8,8 34,0 56,18 50,42 26,54 26,54 20,100 20,100",
        "50,25 30,48 6,35 8,8 32,0 54,15 40,45 20,70 16,100",
        "24,50 4,28 20,2 50,8 54,34 28,52 20,75 32,92 20,100",
        "52,48 52,48 0,50 0,50 0,0 0,0 52,0 52,0 52,100 52,100 2,100 2,100",  # square
        "52,46 52,46 0,46 0,46 0,0 0,0 52,0 52,0 52,44 52,44 4,100 4,100",  # of straight strokes
        "50,30 20,45 0,20 22,0 50,12 40,42 20,60 40,70 38,90 10,100 -8,92",  # an S that begins with a loop
        "44,10 20,0 2,18 14,38 42,26 48,6 44,40 30,100",
        "52,6 30,0 8,16 16,40 40,36 52,8 40,50 26,66 40,80 20,100",  # a small loop below its own
        "44,66 14,38 10,10 32,0 52,14 46,40 24,72 12,100",  # like a fish on its tail
        "40,58 16,40 8,14 30,0 50,12 44,38 26,62 28,100",
        "14,64 44,38 54,12 32,0 10,14 20,40 38,68 44,100",
        "55,28 30,0 2,20 10,50 40,48 58,26 68,60 100,92",  # a tail to the next one
    ],
}


def written_in_other_hands(count: int, labels: list[str], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Args:
        count: How many.
        labels: What the model is to name, of which only the digits are drawn.
        seed: The same seed draws the same.

    Returns:
        Frames uint8 (count, 1, 28, 28), ink bright, and the index of each one's label, int64 (count,); none where
        there is no digit among the labels.
    """
    random = np.random.default_rng(seed)
    known = [index for index, label in enumerate(labels) if label in _STYLES]
    chosen = random.choice(known, count) if known else np.empty(0, dtype=int)
    frames = np.empty((len(chosen), 1, FRAME_SIZE, FRAME_SIZE), dtype=np.uint8)
    for frame, index in zip(frames, chosen):
        styles = _STYLES[labels[index]]
        is_stem = labels[index] == "1" and random.random() < _STEM_SHARE
        frame[0] = written(random, _STEM, 0.5) if is_stem else written(random, styles[random.integers(len(styles))])
    return torch.from_numpy(frames), torch.from_numpy(chosen)


def written(random: np.random.Generator, style: str, change: float = 1.0) -> Image.Image:
    """The frame that `write_strokes` makes of a style, given by its points, whose places are shaken first."""
    strokes = [np.array([point.split(",") for point in stroke.split()], float) / 100 for stroke in style.split("/")]
    loose = random.uniform(0.01, 0.07) * change
    return write_strokes(random, [_shaken(random, stroke, loose) for stroke in strokes], change)


def _shaken(random: np.random.Generator, points: np.ndarray, loose: float) -> np.ndarray:
    """Points (P, 2), each a little elsewhere, but those at the same place still there."""
    places, which = np.unique(points, axis=0, return_inverse=True)
    return (places + random.normal(0, loose, places.shape))[which.flatten()]
