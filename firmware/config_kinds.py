"""What a value of config.json may be: `accepts(value)`, and as text what is allowed.

Pure: no IO.
"""

ID_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_ID_CHARACTERS_SHOWN = "A-Z a-z 0-9 _ -"


class Text:
    """A string of `low`..`high` characters, optionally from a character set."""

    def __init__(self, low, high, characters=None):
        self.low, self.high, self.characters = low, high, characters

    def accepts(self, value):
        if not isinstance(value, str) or not self.low <= len(value) <= self.high:
            return False
        return self.characters is None or all(c in self.characters for c in value)

    def __str__(self):
        text = "text of %d..%d characters" % (self.low, self.high)
        return text if self.characters is None else text + " out of " + _ID_CHARACTERS_SHOWN


class Whole:
    """A whole number in a range."""

    def __init__(self, low, high):
        self.low, self.high = low, high

    def accepts(self, value):
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )

    def __str__(self):
        return "a whole number from %d to %d" % (self.low, self.high)


class Flag:
    def accepts(self, value):
        return isinstance(value, bool)

    def __str__(self):
        return "true or false"


class OneOf:
    def __init__(self, *values):
        self.values = values

    def accepts(self, value):
        return value in self.values

    def __str__(self):
        return "one of " + ", ".join('"%s"' % v for v in self.values)


class TextList:
    """A list of at most `most` strings of 1..`high` characters."""

    def __init__(self, most, high):
        self.most, self.high = most, high

    def accepts(self, value):
        if not isinstance(value, list) or len(value) > self.most:
            return False
        return all(isinstance(text, str) and 1 <= len(text) <= self.high for text in value)

    def __str__(self):
        return "a list of at most %d texts of 1..%d characters" % (self.most, self.high)
