# SPDX-License-Identifier: Apache-2.0
"""`rasant calibrate board`: a board to print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rasant_calibration.board import parse_board
from rasant_calibration.board_page import PAGES, write_board

__all__ = ["board"]


def board(
    board: Annotated[str, typer.Argument(help="charuco:11x8:0.020:0.015 or chessboard:10x8:0.025, in metres.")],
    output: Annotated[Path, typer.Option("-o", "--out", help="A .pdf, .svg or .png file.")],
    page: Annotated[str, typer.Option("--page", help=f"Landscape: {', '.join(PAGES)}.")] = "A4",
    dpi: Annotated[int, typer.Option("--dpi", min=72, max=2400, help="Of a .png.")] = 600,
) -> None:
    """Make a calibration board to print, true to scale.

    Glue it to glass or aluminium: a board that is not flat by a tenth of a millimetre shows in the residuals.

    Example: rasant calibrate board charuco:11x8:0.020:0.015 -o board.pdf
    """
    plan = parse_board(board)
    write_board(output, plan, page, dpi=dpi)
    typer.echo(f"written: {output}, {plan} on {page}; print at 100 % and measure its line of 100 mm")
