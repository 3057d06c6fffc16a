"""Entries of the menu that opens with a right click on a layer.

napari lets no manifest add to that menu, so they are there from the first dock or file that this plugin opens.
"""

from __future__ import annotations

from functools import partial

import napari
from app_model.types import Action, MenuRule
from napari._app_model import get_app_model
from napari._app_model.constants import MenuId
from napari._app_model.context import LayerListSelectionContextKeys as Selected

from napari_genrecon.widgets.advise.open_dock import open_filled

__all__ = ["add_right_click"]

_DOCKS = ("compare", "denoise", "deblur", "inpaint", "upscale", "advise")
_GROUP = "8_genrecon"  # below napari's own groups but the last


def add_right_click() -> None:
    """Add entries that open a dock with the layer chosen; none is added twice."""
    app = get_app_model()
    for order, name in enumerate(_DOCKS):
        action = f"napari-genrecon.right_click.{name}"
        if action not in app.commands:
            # The comparison makes an expression, which napari evaluates whenever the menu opens.
            rule = MenuRule(
                id=MenuId.LAYERLIST_CONTEXT, group=_GROUP, order=order, when=Selected.num_selected_image_layers == 1
            )
            app.register_action(
                Action(id=action, title=f"{name.title()}…", callback=partial(_open, name), menus=[rule], palette=False)
            )


def _open(name: str) -> None:
    viewer = napari.current_viewer()
    active = None if viewer is None else viewer.layers.selection.active
    if active is not None:
        open_filled(viewer, name, active.name, {})
