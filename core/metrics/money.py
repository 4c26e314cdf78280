"""How an amount of money is written, wherever one is."""

from math import floor, log10


def dollars(amount: float) -> str:
    """Cents from a dollar on, four places below it, and more only where two digits would not be left: `$0.0131`."""
    if abs(amount) >= 1:
        return f"${amount:,.2f}"
    places = max(4, 1 - floor(log10(abs(amount)))) if amount else 4
    return f"${amount:.{places}f}"
