"""The values beside the progress bar."""

from types import SimpleNamespace

from minmax.callbacks import Progress


def test_names_are_short_and_speed_is_a_whole_number() -> None:
    values = {"time/images_per_second": 1234.6, "loss/discriminator": 0.5, "metric/fid_domain": 2.0}
    trainer = SimpleNamespace(loggers=[], progress_bar_metrics=values)
    assert Progress().get_metrics(trainer, None) == {
        "images/s": "1,235",
        "D loss": 0.5,
        "metric/fid_domain": 2.0,
    }
