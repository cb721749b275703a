"""Names of folders that mean splits."""

import re
from collections import defaultdict
from collections.abc import Collection

_BESIDE = r"(?:images?|imgs?|pictures?|photos?|data|datasets?|sets?|splits?|seg|public|private|\d+)"
WORDS = {  # the first one that exists is held out
    "train": r"train(?:ing)?|trn|train_?val",
    "val": "val",
    "valid": "valid",
    "validation": "validation|validate",
    "dev": "dev|devel|development",
    "test": "test(?:ing)?|tst",
    "eval": r"eval(?:uat(?:e|ion))?|hold_?out|held_?out",
}
_NAMES = {
    word: re.compile(rf"(?:{_BESIDE}_?)*(?:{names})(?:_?{_BESIDE})*")
    for word, names in WORDS.items()
}


def split_of(name: str) -> str | None:
    """The split that a folder's name means (`train`, or one to hold out); None if it means none.

    Case and common additions are ignored: `Train`, `training_set`, `val2017`, `seg_test`,
    `trainA`.
    """
    name = re.sub(r"(?:[\W_][ABab]|(?<=[a-z])[AB])$", "", name)
    plain = re.sub(r"[\W_]+", "_", name.casefold()).strip("_")
    return next((word for word, names in _NAMES.items() if names.fullmatch(plain)), None)


def splits_among(names: Collection[str]) -> dict[str, str]:
    """The names that mean splits, each with its split.

    Names that differ only in the word for a split, as `cats_train` and `cats_test`, are included.
    """
    splits = {name: word for name in names if (word := split_of(name)) is not None}
    alike = defaultdict[str, dict[str, str]](dict)
    for name in names:
        plain = re.sub(r"(?<=\w)(?=[A-Z][a-z])|[\W_]+", "_", name).casefold()
        for word, forms in WORDS.items():
            rest, count = re.subn(rf"(?<![^\W_])(?:{forms})(?![^\W_])", "*", plain)
            if count == 1:
                alike[rest][name] = word
    for pair in alike.values():
        if "train" in pair.values() and len(pair) > 1:
            splits |= pair
    return splits
