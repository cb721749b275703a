"""The picture of augmentations: a row a transform, a column a strength."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import Digits
from minmax.generation.augmentations import COLUMNS, LABEL, MARGIN, PANELS, main, rows


def test_a_row_a_transform_and_a_column_a_strength(tmp_path: Path) -> None:
    main(["--output", str(tmp_path / "a.png"), "--image", "3", "--data.init_args.image_size", "16"])
    sheet = np.asarray(Image.open(tmp_path / "a.png").convert("L")).astype(int)
    height, cell = -(-len(rows()) // PANELS), 64 + MARGIN
    assert sheet.shape == (height * cell, PANELS * (LABEL + COLUMNS * cell))
    pixels = Digits(image_size=16).split(train=False)[0][3, 0].numpy().astype(int)

    def shown(name: str, column: int) -> np.ndarray:
        panel, line = divmod([row.name for row in rows()].index(name), height)
        left, top = panel * (LABEL + COLUMNS * cell) + LABEL + column * cell, line * cell
        return sheet[top : top + 64 : 4, left : left + 64 : 4]

    middle = COLUMNS // 2
    for name in ("Diff: brightness", "Diff: saturation", "Diff: contrast", "Diff: translation"):
        assert np.abs(shown(name, middle) - pixels).max() <= 1, name
    assert np.abs(shown("instance noise", 0) - pixels).max() <= 1
    assert np.abs(shown("instance noise", 6) - pixels).max() > 30
    lighter = np.minimum(pixels + 0.5 * 127.5, 255)
    assert np.abs(shown("Diff: brightness", 6) - lighter).max() <= 1
    assert np.abs(shown("Diff: translation", 0)[:-2, :-2] - pixels[2:, 2:]).max() <= 1
    assert (shown("Diff: cutout", middle)[4:12, 4:12] == 128).all()


def test_an_image_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--output", str(tmp_path / "a.png"), "--image", "179"])
    assert "--image 179: choose from 0 to 178" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_each_transform_has_a_name_and_keeps_the_shape() -> None:
    for channels in (1, 3):
        image = torch.rand(1, channels, 16, 16) * 2 - 1
        for row in rows():
            assert row.change(image, 0.5).shape == image.shape, row.name
    assert len({row.name for row in rows()}) == len(rows())
