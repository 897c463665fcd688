"""Pictures to train on: MNIST, custom pictures, their merge, augmentation, synthetic pages, and what is no digit."""

from .augment import Augmentation
from .corrections import Corrections
from .errors import DataError
from .hands import written_in_other_hands
from .merge import DataArguments, count_table, merge
from .not_digits import draw_not_digits, read_not_digits
from .numbers import make_numbers
from .pages import Pages
from .pendigits import written_on_a_tablet
from .pictures import Pictures, by_source, on_pages, to_pictures
from .strings import Strings

__all__ = [
    "Augmentation",
    "Corrections",
    "DataArguments",
    "DataError",
    "Pages",
    "Pictures",
    "Strings",
    "by_source",
    "count_table",
    "draw_not_digits",
    "make_numbers",
    "merge",
    "on_pages",
    "read_not_digits",
    "to_pictures",
    "written_in_other_hands",
    "written_on_a_tablet",
]
