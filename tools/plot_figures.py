"""Draws what `softstep reproduce` lists in figures.json: for each figure its lines, axes and words (tools/reproduce/entry.h)."""

import json
import math
import os

from matplotlib.figure import Figure

from plot_style import COLOURS, DASHES, LEFT, decade_axis, save, tower_axis


def number(text):
    """Numbers that JSON cannot hold come as text."""
    return float(text) if text is not None else math.nan


def shown(value, scale):
    """A value on its axis: log10 of it, minus a log10 for the axis of exponents, itself; NaN where it cannot be drawn."""
    if not math.isfinite(value):
        return math.nan
    if scale == "logarithmic":
        return math.log10(value) if value > 0 else math.nan
    return value


def draw(figure_json):
    figure = Figure(figsize=(6.0, 4.6), dpi=180)
    axes = figure.add_axes([LEFT, 0.205, 0.97 - LEFT, 0.655])
    y_scale, x_scale = figure_json["y_scale"], figure_json["x_scale"]
    sign = -1.0 if y_scale == "tower" else 1.0
    lowest, highest = math.inf, -math.inf
    n_measured = 0
    for line in figure_json["series"]:
        points = []
        spreads = line["spread"] or [0.0] * len(line["x"])
        for x, y, spread in zip(line["x"], line["y"], spreads):
            x, y = number(x), shown(number(y), y_scale)
            if math.isfinite(x) and math.isfinite(y) and not (x_scale == "logarithmic" and x <= 0):
                points.append((x, y, spread))
        if not points:
            continue
        xs = [p[0] for p in points]
        lowest = min([lowest] + [p[1] - p[2] for p in points])
        highest = max([highest] + [p[1] + p[2] for p in points])
        if line["is_guide"]:
            axes.plot(xs, [sign * p[1] for p in points], color="#777777", linestyle=(0, (2, 2)), linewidth=1.2,
                      label=line["label"], zorder=2.5)
            continue
        colour, dashes = COLOURS[n_measured % len(COLOURS)], DASHES[n_measured % len(DASHES)]
        n_measured += 1
        if line["spread"]:
            axes.fill_between(xs, [sign * (p[1] - p[2]) for p in points], [sign * (p[1] + p[2]) for p in points],
                              color=colour, alpha=0.18, linewidth=0)
        axes.plot(xs, [sign * p[1] for p in points], color=colour, linestyle=dashes, linewidth=1.9,
                  marker="o" if len(points) <= 12 else None, markersize=4, label=line["label"])
    if x_scale == "logarithmic":
        axes.set_xscale("log")
    axes.set_xlabel(figure_json["x_label"])
    axes.set_ylabel(figure_json["y_label"])
    axes.set_axisbelow(True)
    axes.grid(True, which="major")
    if lowest <= highest:
        if y_scale == "tower":
            tower_axis(axes, lowest, highest)
        elif y_scale == "logarithmic":
            decade_axis(axes, lowest, highest)
        axes.legend(loc="best", fontsize=9, handlelength=3.0, labelspacing=0.3)
    else:
        axes.text(0.5, 0.5, "nothing to draw", transform=axes.transAxes, ha="center", color="#777777")
    title = figure_json["title"]
    size = min(12.5, 12.5 * 44 / max(len(title), 1))  # 44 letters of 12.5 points fit above the axes
    figure.text(LEFT, 0.945, title, fontsize=size, weight="bold", color="#111111")
    figure.text(LEFT, 0.02, wrapped(figure_json["caption"], 80), fontsize=8, color="#666666", va="bottom")
    return figure


def wrapped(text, width):
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = line + " " + word if line else word
    return "\n".join(lines + [line])


def draw_all(path):
    with open(path) as file:
        figures = json.load(file)
    for figure_json in figures:
        save(draw(figure_json), os.path.join(os.path.dirname(path), figure_json["file"]))
