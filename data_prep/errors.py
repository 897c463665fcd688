"""What goes wrong with data, said in one sentence."""


class DataError(ValueError):
    """Data that cannot be used; the message is one sentence for the person who brought it."""


def first_line(error: Exception) -> str:
    """The first line of an error's message, to quote inside a sentence."""
    return (str(error).strip() or type(error).__name__).split("\n")[0].rstrip(".")
