"""What the checks of packages share: a command that must succeed, and the fault that is reported."""
import subprocess

SHOWN = 4000  # characters of what a failed command printed


class Fault(Exception):
    pass


def run(*command, **options):
    command = [str(word) for word in command]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, **options)
    if result.returncode != 0:
        raise Fault(f"{' '.join(command)}: status {result.returncode}\n{result.stdout[-SHOWN:]}")
    return result.stdout
