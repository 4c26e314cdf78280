"""How an amount of money is written, wherever one is."""

from math import floor, log10


def dollars(amount: float) -> str:
    """Cents from a dollar on, four places below it, and more only where two digits would not be left: `$0.0131`."""
    if abs(amount) >= 1:
        return f"${amount:,.2f}"
    places = max(4, 1 - floor(log10(abs(amount)))) if amount else 4
    return f"${amount:.{places}f}"


def rounded_dollars(amount: float) -> str:
    """An estimated amount with its sign and two digits that count: `+$41,000`, `-$0.31`."""
    sign = "-" if amount < 0 else "+"
    if not amount:
        return "$0"
    places = 1 - floor(log10(abs(amount)))
    return f"{sign}${round(abs(amount), places):,.{max(places, 0)}f}"
