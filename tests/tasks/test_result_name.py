from dataclasses import asdict

import pytest

from napari_genrecon.tasks import TASKS
from napari_genrecon.tasks.result_name import result_name


@pytest.mark.parametrize(
    ("task", "record", "name"),
    [
        ("denoise", {"strength": 0.8, "blend": 0.25}, "cells denoise 0.8 blend 0.25"),
        ("denoise", {"device": "cpu", "tile": 64, "keep_dtype": True}, "cells denoise"),
        ("deblur", {"method": "rl", "iterations": 10}, "cells deblur 3.5 px rl"),
        ("deblur", {"method": "pnp", "iterations": 20}, "cells deblur 3.5 px 20 iterations"),
        ("inpaint", {"detect": "hot,lines", "n": 4}, "cells inpaint hot lines 4 fillings"),
    ],
)
def test_name_says_what_was_chosen_other_than_usual(task, record, name):
    psf = {"psf": {"gaussian_fwhm_px": 3.5}} if task == "deblur" else {}
    assert result_name(task, "cells", {"options": record, **psf}) == name


@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_name_of_the_defaults_is_that_of_the_task(task):
    options = asdict(next(each for each in TASKS if each.name == task).options())
    assert result_name(task, "cells", {"options": options}) == f"cells {task.replace('_', ' ')}"


def test_name_tells_how_many_times_larger_and_which_noise_was_typed():
    assert result_name("upscale", "cells", {"options": {"factor": 3}, "factor": [1, 3, 3]}) == "cells upscale x3"
    noise = [{"method": "given", "sigma": 12.0}]
    assert result_name("denoise", "cells", {"options": {}, "noise": noise}) == "cells denoise noise 12"
