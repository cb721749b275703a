"""Grids of images."""

import math

import numpy as np
import torch
from PIL import Image

from minmax.films import Pixels
from minmax.generation.drawing import Job

MARGIN = 2


def grid(pixels: Pixels, columns: int) -> Image.Image:
    """One picture of all images in rows, with black margins of `MARGIN` pixels."""
    count, height, width, channels = pixels.shape
    rows, down, across = -(-count // columns), height + MARGIN, width + MARGIN
    sheet = np.zeros((rows * down + MARGIN, columns * across + MARGIN, channels), np.uint8)
    for index, image in enumerate(pixels):
        top, left = (MARGIN + index // columns * down, MARGIN + index % columns * across)
        sheet[top : top + height, left : left + width] = image
    return Image.fromarray(sheet.squeeze())


def in_rows(pixels: Pixels, job: Job, by_class: bool) -> tuple[Pixels, int]:
    """Images for a grid, and its columns: a square, or one row for each class.

    Black images fill the rows of classes with fewer images.
    """
    if not by_class:
        return pixels, max(1, round(math.sqrt(len(pixels))))
    counts = torch.unique_consecutive(job.labels, return_counts=True)[1].tolist()
    sheet = np.zeros((len(counts), max(counts), *pixels.shape[1:]), np.uint8)
    for row, images in zip(sheet, np.split(pixels, np.cumsum(counts)[:-1]), strict=True):
        row[: len(images)] = images
    return sheet.reshape(-1, *pixels.shape[1:]), max(counts)
