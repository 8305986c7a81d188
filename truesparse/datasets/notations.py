"""Text that stands for a date or a quantity, in a notation that no reader takes.

date       2024-01-31, 31/1/24 10:30, Jan-24, 10:30
amount     $ 1,234.50, 12 %, 1 234,50, (5), 5-, 0x1f, 1_000, 1.5D+03, 1+2j
measure    12 kg, 5.5cm: numbers of one unit
"""

import datetime
import re
from collections.abc import Iterable

_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(
    r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}([ T].*)?$"  # 2024-01-31, 31/1/24 10:30
    r"|\d{4}[-/]\d{1,2}$"  # 2024-01
    rf"|\d{{1,2}}[- ]?{_MONTH}[- ,]+\d{{2,4}}$"  # 31-Jan-2024
    rf"|{_MONTH}[- ]\d{{1,4}}(, ?\d{{4}})?$"  # Jan-24, January 31, 2024
    r"|\d{1,2}:\d{2}(:\d{2})?$",  # 10:30
    re.IGNORECASE,
)
_SIGN = "[-+\u2212]?"
_CURRENCY = "[$€£¥₹]"
# Digits in groups of three, or of two where India writes them, and a decimal sign.
_GROUPED = (
    r"\d{1,3}([,.'_ \u00a0\u202f]?\d{3})*([.,]\d+)?|\d{1,2}(,\d{2})*,\d{3}(\.\d+)?"
)
_MONEY = (
    rf"{_SIGN}{_CURRENCY}? ?{_SIGN}({_GROUPED}|\.\d+)([eE][-+]?\d+)?"
    rf"[ \u00a0\u202f]?([%‰]|{_CURRENCY})?"
)
_PLAIN = r"(\d+\.?\d*|\.\d+)"
_AMOUNT = re.compile(
    rf"{_MONEY}$"
    rf"|\( ?{_MONEY} ?\)$"  # a negative one, as accountants write it
    rf"|({_GROUPED}) ?[-\u2212]$"
    rf"|{_SIGN}0(x[0-9a-f]+|o[0-7]+|b[01]+)$"
    rf"|{_SIGN}(\d+\.\d*|\.\d+|\d+(?=d[-+]))d[-+]?\d+$"  # as Fortran writes 1.5E+03
    rf"|{_SIGN}{_PLAIN}(e[-+]?\d+)?[-+]{_PLAIN}(e[-+]?\d+)?[ij]$",
    re.IGNORECASE,
)
_MEASURE = re.compile(rf"{_SIGN}{_PLAIN} ?(?P<unit>[^\W\d_]+)$")


def is_date(text: str) -> bool:
    """Whether a cell is a date or a time.

    Examples
    --------
    >>> from truesparse.datasets.notations import is_date
    >>> is_date("31-Jan-2024"), is_date("20240131T10"), is_date("ash")
    (True, True, False)
    """
    if _DATE.match(text.strip()):
        return True
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_amount(text: str) -> bool:
    """Whether a cell is one number, written as people or programs write it elsewhere.

    Examples
    --------
    >>> from truesparse.datasets.notations import is_amount
    >>> [is_amount(cell) for cell in ("$1,250", "12 %", "(5)", "0x1f", "3rd", "1/2")]
    [True, True, True, True, False, False]
    """
    return bool(_AMOUNT.match(text.strip()))


def find_unit(texts: Iterable[str]) -> str | None:
    """Return the one unit of more than two different numbers, if all of them have it.

    Examples
    --------
    >>> from truesparse.datasets.notations import find_unit
    >>> find_unit(["5 kg", "12.5 kg", "7kg"]), find_unit(["1st", "2nd", "3rd"])
    ('kg', None)
    """
    matches = [_MEASURE.match(text.strip()) for text in set(texts)]
    units = {match.group("unit") if match else None for match in matches}
    return units.pop() if len(matches) > 2 and len(units) == 1 else None
