"""A worker as the comparison sees it: a process of its own, bound to as many processors as it may use threads."""
import json
import os
import select
import subprocess

from . import environment

COMPILED = {"softstep": "softstep_worker", "eigen": "eigen_worker", "eigen+openblas": "eigen_blas_worker",
            "loops": "loops_worker"}
INTERPRETED = {"numpy": "numpy_worker.py", "torch": "torch_worker.py", "jax": "jax_worker.py", "optax": "optax_worker.py"}
# Of attention over heads, and of linear attention: workers/heads, workers/linear.
HEADS_COMPILED = {"softstep": "heads_softstep_worker"}
HEADS_INTERPRETED = {peer: f"heads/{peer}_worker.py" for peer in ("torch", "jax", "numpy", "onnxruntime", "openvino")}
LIMITS = "limits"


def compiled(program: str) -> list[str]:
    return [str(environment.BUILD / "workers" / program)]


def interpreted(script: str) -> list[str]:
    return [str(environment.PYTHON), "-B", str(environment.PEERS / "workers" / script)]


# The command of each worker.
TABLE = {
    LIMITS: compiled("limits_worker"),
    **{peer: compiled(program) for peer, program in COMPILED.items()},
    **{peer: interpreted(script) for peer, script in INTERPRETED.items()},
    **{"heads " + peer: compiled(program) for peer, program in HEADS_COMPILED.items()},
    **{"heads " + peer: interpreted(script) for peer, script in HEADS_INTERPRETED.items()},
    "linear softstep": compiled("linear_softstep_worker"),
    **{"linear " + peer: interpreted(f"linear/{peer}_worker.py") for peer in ("torch", "jax")},
    # Of many runs at once: workers/many.
    "many softstep": compiled("many_softstep_worker"),
    **{"many " + peer: interpreted(f"many/{peer}_worker.py") for peer in ("torch", "jax")},
}


class WorkerFailed(Exception):
    pass


class Worker:
    def __init__(self, peer: str, number_type: str, threads: int):
        self.peer = peer
        log = environment.ROOT / "out" / "peers" / "logs" / f"{peer.replace(' ', '-')}-{number_type}-{threads}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        cpus = environment.cpus(threads)
        with log.open("w") as errors:
            self.process = subprocess.Popen([*TABLE[peer], number_type, str(threads)], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=errors, env=environment.for_threads(threads),
                                            preexec_fn=lambda: os.sched_setaffinity(0, cpus))

    def ask(self, *fields: object, timeout: float = 120.0) -> dict:
        """Raises WorkerFailed for an error, silence, or the end of the process."""
        if self.process.poll() is not None:
            raise WorkerFailed(f"{self.peer} is gone")
        self.process.stdin.write(("\t".join(map(str, fields)) + "\n").encode())
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            self.process.kill()
            raise WorkerFailed(f"{self.peer}: no answer to {fields[0]} in {timeout:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise WorkerFailed(f"{self.peer} ended at {fields[0]}")
        reply = json.loads(line)
        if "error" in reply:
            raise WorkerFailed(f"{self.peer} {' '.join(map(str, fields[:2]))}: {reply['error']}")
        return reply

    def close(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
