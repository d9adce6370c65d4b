"""Pictures of any images and curves of any numbers: written, and of the size that they should have."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ddpm_np import diffusion, viz
from ddpm_np.data.dataset import Dataset
from ddpm_np.viz.images import drawable

rng = np.random.default_rng(0)
IMAGES = {
    "one": rng.uniform(-1, 1, (1, 8, 8, 1)), "two channels": rng.uniform(-1, 1, (5, 8, 8, 2)),
    "four channels": rng.uniform(-1, 1, (3, 8, 8, 4)), "a thousand": rng.uniform(-1, 1, (1000, 4, 4, 1)),
    "wide": rng.uniform(-1, 1, (3, 2, 40, 3)), "tall": rng.uniform(-1, 1, (3, 40, 2, 1)),
    "grey": np.zeros((2, 8, 8, 1)),
    "nan": np.full((2, 8, 8, 3), np.nan), "infinite": np.full((2, 8, 8, 1), -np.inf), "a pixel": np.ones((1, 1, 1, 1)),
}


@pytest.mark.parametrize("name", IMAGES)
def test_any_images_can_be_drawn(name, tmp_path):
    images = IMAGES[name]
    n, h, w, c = images.shape
    w = w if c in (1, 3) else w * c
    columns = int(np.ceil(np.sqrt(n)))
    picture = viz.grid(images)
    assert picture.shape == (-(-n // columns) * (h + 1) - 1, columns * (w + 1) - 1, c if c == 3 else 1)
    viz.save_images(tmp_path / "grid.png", images, size=picture.shape[1])
    with Image.open(tmp_path / "grid.png") as saved:
        assert saved.size == picture.shape[1::-1]
        np.testing.assert_array_equal(np.asarray(saved).reshape(picture.shape), picture)
    few = images[:3]
    viz.save_rows(tmp_path / "rows.png", few[:, None], [str(i) for i in range(len(few))], ["mark"])
    viz.save_rows(tmp_path / "row.png", few[None], ["label"])
    assert (tmp_path / "rows.png").stat().st_size > 0


def test_channels_that_no_picture_has_stand_side_by_side():
    image = np.arange(2 * 2 * 2).reshape(1, 2, 2, 2) / 4 - 1
    shown = drawable(image)
    np.testing.assert_array_equal(shown[0, :, :2, 0], image[0, :, :, 0])
    np.testing.assert_array_equal(shown[0, :, 2:, 0], image[0, :, :, 1])
    assert (viz.grid(np.array([[[[np.nan]], [[np.inf]], [[-np.inf]]]])).ravel() == [128, 255, 0]).all()


def test_no_images_and_no_columns_are_refused_in_one_line():
    for call, words in [
        (lambda: viz.grid(np.zeros((0, 8, 8, 1))), r"expected at least one image, .* got shape \(0, 8, 8, 1\)"),
        (lambda: viz.grid(np.zeros((8, 8))), r"got shape \(8, 8\)"),
        (lambda: viz.grid(np.zeros((1, 8, 8, 1)), columns=0), "columns must be at least 1, got 0"),
        (lambda: viz.grid(np.zeros((1, 8, 8, 1)), gap=-1), "gap must be at least 0, got -1"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.parametrize("T", [1, 2, 3, 12])
def test_schedules_and_the_forward_process_of_few_steps_can_be_drawn(T, tmp_path):
    for name in diffusion.SCHEDULES:
        viz.plot_schedule(tmp_path / "schedule.png", diffusion.named_schedule(name, T))
    for shape, n, levels in (((8, 8, 1), 1, 17), ((4, 9, 3), 3, 256), ((9, 4, 2), 7, 2)):
        data = Dataset("x", rng.integers(0, levels, (n, *shape)).astype(np.uint8), None, levels)
        viz.plot_forward(tmp_path / "forward.png", diffusion.linear_schedule(T), data)
        viz.plot_forward(tmp_path / "one.png", diffusion.linear_schedule(T), data, rows=1, columns=1)


@pytest.mark.parametrize("value", [1.0, 0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("T", [1, 2, 12])
def test_curves_of_few_points_and_of_any_numbers_can_be_drawn(T, value, tmp_path):
    path = tmp_path / "curve.png"
    viz.plot_bound(path, [value] * (T + 1))
    viz.plot_rate_distortion(path, [value] * (T + 1), [value] * (T + 1))
    viz.plot_loss(path, [{"step": i, "loss": value, "grad_norm": abs(value)} for i in range(T)])
    assert path.stat().st_size > 0
