"""Pictures to train on: MNIST, custom pictures, their merge, augmentation, synthetic pages, and what is no digit."""

from .augment import Augmentation
from .corrections import Corrections
from .errors import DataError
from .hands import written_in_other_hands
from .merge import DataArguments, count_table, merge
from .not_digits import not_digits, read_not_digits
from .numbers import Number, numbers, write_numbers
from .pages import PageBatch, Pages
from .pendigits import written_on_a_tablet
from .pictures import Pictures, by_source, on_pages, to_pictures
from .strings import StringBatch, Strings

__all__ = [
    "Augmentation",
    "Corrections",
    "DataArguments",
    "DataError",
    "Number",
    "PageBatch",
    "Pages",
    "Pictures",
    "StringBatch",
    "Strings",
    "by_source",
    "count_table",
    "merge",
    "not_digits",
    "numbers",
    "on_pages",
    "read_not_digits",
    "to_pictures",
    "write_numbers",
    "written_in_other_hands",
    "written_on_a_tablet",
]
