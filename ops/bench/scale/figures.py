"""What was measured."""

import re

from machine import say


class Figures:
    """What was measured, by name."""

    def __init__(self):
        self.all = {}

    def note(self, name, value, unit, digits=3):
        """Notes a figure, if there is one."""
        if value is not None:
            self.all[name] = (round(value, digits) if digits else round(value), unit)
            say(f"{name} = {self.all[name][0]} {unit}")

    def get(self, name):
        return self.all.get(name, (None, ""))[0]

    def table(self):
        """All of them in Markdown."""
        rows = [f"| `{name}` | {value} | {unit} |" for name, (value, unit) in self.all.items()]
        return "\n".join(["| figure | measured | unit |", "|---|---|---|", *rows])

    def fill(self, page):
        """Writes them into the tables of a page."""
        def filled(line):
            named = re.match(r"\| `([^`]+)` \|.*\|$", line)
            if not named or named[1] not in self.all:
                return line
            return line[: line[:-1].rindex("|")] + f"| {self.all[named[1]][0]} |"

        page.write_text("".join(filled(line) + "\n" for line in page.read_text().splitlines()))


def per(value, count, of=1):
    """How much of something each has; nothing when there are none."""
    return value * of / count if value is not None and count else None
