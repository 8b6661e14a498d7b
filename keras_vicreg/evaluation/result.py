"""What every measurement returns: a frozen record that can be written as JSON."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Result:
    """A measurement. Fields with `repr=False` are for Python alone."""

    def as_dict(self) -> dict:
        """What is printed of it, ready for JSON."""
        shown = (field.name for field in dataclasses.fields(self) if field.repr)
        return {name: getattr(self, name) for name in shown}
