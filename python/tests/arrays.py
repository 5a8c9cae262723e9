"""Arrays of every kind, for hypothesis: strides of any size and sign, types, read-only, unaligned, swapped; and what lies around."""

import numpy as np
from hypothesis import strategies as st

#: what real numbers come in, most often what is computed with
FLOATS = ("float64", "float64", "float32", "float32", "float16")
OTHERS = (">f8", ">f4", "int64", "int8", "bool", "complex128", "longdouble", "U1")


class Made:
    """An array, and the memory around it, which must stay as it is."""

    def __init__(self, array, memory):
        self.array, self.memory = array, memory
        self._before = memory.tobytes()

    def untouched(self):
        return self.memory.tobytes() == self._before

    def only_itself_changed(self):
        after = self.memory.copy()
        inside = np.zeros(self.memory.size, dtype=bool)
        step = self.array.itemsize
        first = self.array.__array_interface__["data"][0] - self.memory.__array_interface__["data"][0]
        places = np.array([first])
        for extent, stride in zip(self.array.shape, self.array.strides):
            places = (places[..., None] + stride * np.arange(extent)).ravel()
        for byte in range(step):
            inside[places + byte] = True
        return bool((after[~inside] == np.frombuffer(self._before, dtype=np.uint8)[~inside]).all())


@st.composite
def strided(draw, shape, dtype, numbers, plain=False):
    """An array of this shape with strides that are drawn, filled by `numbers(shape)`; C order and nothing around it if `plain`."""
    dtype = np.dtype(dtype)
    order = list(range(len(shape))) if plain else draw(st.permutations(range(len(shape))))
    # The last axis is contiguous most of the time: most functions need it.
    if not plain and shape and draw(st.integers(0, 4)) > 0:
        order.remove(len(shape) - 1)
        order.append(len(shape) - 1)
    steps = [1 if plain else draw(st.sampled_from([1, 1, 1, 2, 3, -1, -2, 0])) for _ in shape]
    if not plain and shape and draw(st.integers(0, 4)) > 0:
        steps[-1] = 1
    strides, packed = [0] * len(shape), dtype.itemsize
    for axis in reversed(order):
        strides[axis] = packed * steps[axis]
        packed *= max(1, shape[axis]) * max(1, abs(steps[axis]))
    low = sum(min(0, (n - 1) * s) for n, s in zip(shape, strides) if n > 0)
    high = sum(max(0, (n - 1) * s) for n, s in zip(shape, strides) if n > 0) + dtype.itemsize
    offset = 0 if plain else draw(st.sampled_from([0, 0, 0, 0, dtype.itemsize, 64, 1]))
    memory = np.full(offset + high - low + 64, 0xA5, dtype=np.uint8)
    array = np.ndarray(shape, dtype, buffer=memory.data, offset=offset - low, strides=strides)
    array[...] = numbers(shape).astype(dtype)
    if not plain and draw(st.integers(0, 9)) == 0:
        array.flags.writeable = False
    return Made(array, memory)
