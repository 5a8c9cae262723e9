"""What softstep raises.

Who does not tell them apart catches `InvalidArgument`, a ValueError: `BadFile`, `IoError` and `NotSupported` derive from it.

The message is one line that names the argument and the value. Nothing has been written or changed when one is raised.
"""

__all__ = ["BadFile", "Error", "InvalidArgument", "IoError", "NotSupported"]


class Error(Exception):
    """Base of all that softstep raises."""

    #: name of the argument, field, option or file at fault
    argument: str

    def __init__(self, message: str, argument: str = "") -> None:
        super().__init__(message)
        self.argument = argument

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[type["Error"], tuple[str, str]]:
        return type(self), (str(self), self.argument)


class InvalidArgument(Error, ValueError):
    """An argument cannot be used.

    >>> import softstep
    >>> try:
    ...     softstep.force_isa("mmx")
    ... except ValueError as error:
    ...     print(error.argument)
    isa
    """


class BadFile(InvalidArgument):
    """A file is damaged, of another format, lacks something, or holds data that cannot be used."""


class IoError(InvalidArgument, OSError):
    """A file cannot be opened, read or written."""


class NotSupported(InvalidArgument, NotImplementedError):
    """Something exists but not here: an instruction set that this CPU lacks, a Hessian that a loss does not give."""
