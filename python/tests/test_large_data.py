"""Data larger than memory: a bound on what of a file is resident, and what it may not be."""

import subprocess
import sys

import numpy as np
import pytest

import softstep

MEBI = 1 << 20
BOUND = 8 * MEBI

# Prints the growth of the largest resident set, in bytes, and writes the weights. Everything is used once on small data before.
RUN = """
import pathlib, re, sys
import numpy as np
import softstep

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])

def train(data):
    return softstep.train(data.problem(n_threads=1), "ngd", steps=3).weights

path, weights, memory = sys.argv[1], sys.argv[2], int(sys.argv[3])
train(softstep.generate(n_samples=4, n_tokens=8, dim=32, seed=0))
before = peak()
np.save(weights, train(softstep.load_dataset(path, memory=memory or None)))
print(peak() - before)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """64 MiB of tokens: what is larger than 16 MiB is mapped."""
    path = tmp_path_factory.mktemp("large") / "data.safetensors"
    softstep.save_dataset(path, softstep.generate(n_samples=1024, n_tokens=256, dim=32, seed=0))
    return path


def trained(file, folder, memory):
    weights = folder / f"weights-{memory}.npy"
    said = subprocess.run([sys.executable, "-c", RUN, str(file), str(weights), str(memory)], capture_output=True, text=True, check=True)
    return int(said.stdout), np.load(weights)


def test_a_run_keeps_within_its_bound_and_has_the_same_bits(file, tmp_path):
    grown, weights = trained(file, tmp_path, BOUND)
    grown_without, weights_without = trained(file, tmp_path, 0)
    assert np.array_equal(weights, weights_without)
    assert grown_without > file.stat().st_size
    # Beside the bound: the page tables of the file, gaps and scores of 2^18 tokens (2 MiB each), and what the allocator keeps.
    assert grown < BOUND + 16 * MEBI


def test_tokens_stay_in_the_file_and_outlive_the_data_set(file):
    copied, tokens = softstep.load_dataset(file), softstep.load_dataset(file, memory=BOUND).tokens
    assert not tokens.flags.writeable and not tokens.flags.owndata
    assert tokens.dtype == np.float64 and np.array_equal(tokens, copied.tokens)
    problem = softstep.Problem(tokens, copied.labels, copied.decoder)
    assert problem.tokens_address == tokens.ctypes.data
    del tokens
    weights = np.random.default_rng(0).normal(size=(32, 32))
    assert problem.loss(weights) == copied.problem().loss(weights)


def test_samples_of_different_lengths(tmp_path):
    rng = np.random.default_rng(0)
    data = softstep.Dataset(rng.normal(size=(9, 5)), np.array([1, -1]), rng.normal(size=5), offsets=np.array([0, 4, 9]))
    softstep.save_dataset(tmp_path / "ragged", data)
    read = softstep.load_dataset(tmp_path / "ragged", memory=BOUND)
    assert np.array_equal(read.tokens, data.tokens) and np.array_equal(read.offsets, data.offsets)


@pytest.mark.parametrize("memory", [0, -1, 4 * MEBI - 1, 1e9, True, "1G"])
def test_a_bound_that_is_none(file, memory):
    with pytest.raises(softstep.InvalidArgument, match="^memory: ") as error:
        softstep.load_dataset(file, memory=memory)
    assert error.value.argument == "memory" and "\n" not in str(error.value)


def test_tokens_that_would_have_to_be_converted(file):
    with pytest.raises(softstep.InvalidArgument, match=f"^memory: {BOUND}, and the tokens of .* must be converted into 33554432 bytes"):
        softstep.load_dataset(file, "float32", memory=BOUND)
    with pytest.raises(softstep.IoError):
        softstep.load_dataset(file.with_name("none"), memory=BOUND)


def test_more_than_there_is(file):
    assert softstep.load_dataset(file, memory=1 << 80).tokens.shape == (1024, 256, 32)
