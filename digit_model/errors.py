"""What goes wrong, said in one sentence to the person who asked."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be loaded, exported or added to."""


class DatasetError(ValueError):
    """A dataset that cannot be used."""


class ReaderError(ValueError):
    """Pictures that cannot be read as asked for."""


def first_line(error: Exception) -> str:
    """The first line of an error's message, to quote inside a sentence."""
    return (str(error).strip() or type(error).__name__).split("\n")[0].rstrip(".")
