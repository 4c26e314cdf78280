"""Why a source could not be read."""


class SourceFailure(Exception):
    """A source could not be read; the text says why, without any value of a row and without the address.

    `is_lasting`: trying again changes nothing until a person does something.
    """

    def __init__(self, why: str, *, is_lasting: bool = False) -> None:
        super().__init__(why)
        self.is_lasting = is_lasting
