"""What all pictures share: colours, axes, and how a file is written."""

import math
import os

from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

# Okabe and Ito's colours, told apart with any colour vision; the dashes tell them apart in grey.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
DASHES = ["-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)), "-"]

LEFT = 0.17  # of the figure's width, left of the axes

STYLE = {
    "font.size": 11,
    "axes.titlesize": 12.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.labelcolor": "#222222",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "svg.hashsalt": "softstep",  # the same data give the same file
}


def power(exponent):
    return "1" if exponent == 0 else "$10^{%g}$" % exponent


def tower_axis(axes, lowest, highest):
    """The axis shows y = -log10(value), linear to 1 and logarithmic beyond, downwards; labels are the values."""
    axes.set_yscale("symlog", linthresh=1.0, linscale=0.6)
    ticks = [0.0]
    decade = 1.0
    while decade <= max(-lowest, 1.0):
        ticks += [decade * k for k in ((1,) if -lowest > 300 else (1, 3)) if decade * k <= max(-lowest, 1.0)]
        decade *= 10
    if highest > 1:
        ticks.append(-1.0)
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: power(-y)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(1.5 * max(-lowest, 1.0), -max(highest + 0.3, 0.0))  # the axis points down


def decade_axis(axes, lowest, highest):
    """The axis shows log10 of the value; labels are the values."""
    low, high = math.floor(lowest), math.ceil(highest)
    stride = max(1, round((high - low) / 8))
    axes.yaxis.set_major_locator(FixedLocator(list(range(low, high + 1, stride))))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: power(y)))
    if stride == 1:
        axes.yaxis.set_minor_locator(
            FixedLocator([d + math.log10(k) for d in range(low, high) for k in range(2, 10)]))
    axes.yaxis.set_minor_formatter(NullFormatter())


def save(figure, path):
    """Beside, then renamed: a reader never sees half a picture."""
    for ending, options in (("svg", {"metadata": {"Date": None}}), ("png", {})):
        beside = "%s.%d.%s" % (path, os.getpid(), ending)
        try:
            figure.savefig(beside, format=ending, facecolor="white", **options)
            os.replace(beside, "%s.%s" % (path, ending))
        except BaseException:
            if os.path.exists(beside):
                os.unlink(beside)
            raise
