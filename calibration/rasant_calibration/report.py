# SPDX-License-Identifier: Apache-2.0
"""The HTML page of a calibration: figures with their limits, pictures, residuals. Made by the runtime's reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.report import render
from rasant.report.pictures import data_uri
from rasant_calibration import pictures
from rasant_calibration.camera import CameraFit
from rasant_calibration.limits import Check, passed
from rasant_calibration.pair import PairFit

__all__ = ["Section", "camera_section", "pair_section", "write_page"]

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page: large pictures side by side, a table, and small pictures."""

    title: str
    note: str = ""
    large: Sequence[tuple[str, Picture]] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    small: Sequence[tuple[str, Picture]] = field(default=())


def write_page(
    path: Path, title: str, checks: Sequence[Check], sections: Sequence[Section], facts: Mapping[str, str]
) -> None:
    """Write one self-contained page."""
    page = render(
        "calibration.html.j2", title=title, subtitle="within its limits" if passed(checks) else "NOT within its limits",
        facts=facts, checks=checks, sections=[_encoded(section) for section in sections],
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def camera_section(title: str, fit: CameraFit, images: Mapping[str, Picture]) -> Section:
    """A lens: residuals, coverage, each view with its RMS. images: name of a view -> its picture."""
    lens = fit.lens
    size = lens.height, lens.width
    bent = ", ".join(f"{value:.5g}" for value in lens.distortion) or "none"
    assert lens.fit is not None
    rms = dict(zip((view.name for view in fit.views), lens.fit.view_rms_px, strict=True))
    rows = [[view.name, str(len(view.ids)), f"{rms[view.name]:.3f} px", "used"] for view in fit.views]
    rows += [[view.name, str(len(view.ids)), "", "rejected: disagrees with the others"] for view in fit.rejected]
    rows += [[name, "", "", "too few corners"] for name in fit.skipped]
    shown = [(f"{v.name}: {rms[v.name]:.2f} px", pictures.corners(images[v.name], v))
             for v in fit.views if v.name in images]  # fmt: skip
    shown += [(f"{v.name}: rejected", pictures.corners(images[v.name], v, used=False))
              for v in fit.rejected if v.name in images]  # fmt: skip
    lost = lens.fit.corners_rejected
    bad = f" Corners left out because they lie far off: {lost}." if lost else ""
    models = ", ".join(f"{name} {error:.3f}" for name, error in fit.predicted_px.items())
    note = (
        f"fx {lens.fx:.2f}  fy {lens.fy:.2f}  cx {lens.cx:.2f}  cy {lens.cy:.2f} px; {fit.model}, distortion {bent}."
        + bad
        + (f" RMS in px on views that a model had not seen: {models}." if models else "")
    )
    arrows, gain = pictures.residual_arrows(size, fit.views, fit.residuals)
    large = [
        (f"Residuals, {gain:.0f} times their length", arrows),
        ("Corners in each part of the image", pictures.coverage(size, fit.coverage)),
    ]
    return Section(title, note, large, ("view", "corners", "RMS", ""), rows, shown)


def pair_section(
    title: str, fit: PairFit, here: str, there: str, small: Sequence[tuple[str, Picture]] = ()
) -> Section:
    """A motion: where the other device stands, the RMS of each view on both sides, and pictures of the views."""
    x, y, z = (1e3 * value for value in fit.motion.translation_m)
    rows = [[name, f"{a:.3f} px", f"{b:.3f} px", "used"]
            for name, (a, b) in zip(fit.names, fit.view_rms_px, strict=True)]  # fmt: skip
    rows += [[name, "", "", "rejected: disagrees with the others"] for name in fit.rejected]
    rows += [[name, "", "", "too few common corners"] for name in fit.skipped]
    note = f"The {here}'s origin lies at ({x:.3f}, {y:.3f}, {z:.3f}) mm of the {there}."
    return Section(title, note, (), ("view", f"RMS {here}", f"RMS {there}", ""), rows, small)


def _encoded(section: Section) -> dict[str, Any]:
    return {
        "title": section.title, "note": section.note, "columns": section.columns, "rows": section.rows,
        "large": [(caption, data_uri(picture)) for caption, picture in section.large],
        "small": [(caption, data_uri(picture)) for caption, picture in section.small],
    }  # fmt: skip
