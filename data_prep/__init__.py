"""Pictures to train on: MNIST, custom pictures, their merge, and augmentation."""

from .augment import Augmentation
from .errors import DataError
from .merge import DataArguments, count_table, merge

__all__ = ["Augmentation", "DataArguments", "DataError", "count_table", "merge"]
