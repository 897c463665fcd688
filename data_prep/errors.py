"""What goes wrong with data, said in one sentence."""


class DataError(ValueError):
    """Data that cannot be used; the message is one sentence for the person who brought it."""


def first_line(error: Exception) -> str:
    """The first line of an error's message, to quote inside a sentence, and what to do where the Hub knows no token."""
    line = (str(error).strip() or type(error).__name__).split("\n")[0].rstrip(".")
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"{line}; log in with `hf auth login`, or set HF_TOKEN" if status == 401 else line
