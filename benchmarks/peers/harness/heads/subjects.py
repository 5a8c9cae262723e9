"""What cells are of: softmax or linear attention, each with its data, its truth and its workers."""
from . import cells, linear, truth
from .cells import Cell

PARTS = {**cells.PARTS, **linear.PARTS}


def of(shape):
    """A module with WORKERS, make_data, truth_of, masks, load_words and reads_memory."""
    return linear if isinstance(shape, linear.Shape) else truth


def shape_of(kept: dict):
    """From the file of a cell."""
    return linear.Shape(**kept) if "gates" in kept else cells.Shape(**kept)


def cells_of(parts: list[str], threads: list[int]) -> list[Cell]:
    return [Cell(part, shape, number_type, count)
            for part in parts for shape in PARTS[part][0] for number_type in PARTS[part][1] for count in threads]
