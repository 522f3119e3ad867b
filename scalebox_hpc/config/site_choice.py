"""Which site each module and pool of a pipeline is at: its own word, else the run's site.

Sites are found by name, each once; what is wrong with one is noted where it was first named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from scalebox_hpc.config.table import Table
from scalebox_hpc.domain.site import Site
from scalebox_hpc.domain.stage import HERE, KIND, POOL
from scalebox_hpc.errors import PipelineErrors, Problem, UsageError


@dataclass(frozen=True, slots=True)
class SiteChoice:
    """The sites of one pipeline. Anywhere None stands for a site that could not be read."""

    find: Callable[[str], Site]  # raises UsageError for a name that it does not know
    usual: Site | None  # the run's own
    found: dict[str, Site | None] = field(default_factory=dict)  # all that were named so far

    @classmethod
    def of_run(cls, find: Callable[[str], Site], about: Table, given: str | None) -> SiteChoice:
        """Begin with the run's site: that of `--site`, else of `[pipeline]`, else `local`."""
        name = given or about.text("site") or "local"

        def tell(error: UsageError) -> None:
            if given:
                about.notes.add(Problem(f"--site {given}", "", None, error.fact, error.hint))
            else:
                about.problem("site", error.fact, error.hint)

        usual = _read(find, name, about, tell)
        return cls(find, usual, {name: usual})

    def of(self, table: Table) -> Site | None:
        """Return the site that a module's or a pool's table names, else the run's.

        What moves data runs on the daemon's machine, whatever the run's site is.
        """
        name = table.text("site")
        if table.data.get("kind") == KIND or table.path == ("pools", POOL):
            if name not in (None, HERE):
                fact = f"transfers run on the daemon's machine, not at site {name}"
                table.problem("site", fact, "take it out; the places say where the data is")
            name = HERE
        return self.usual if name is None else self._named(name, table)

    def is_here(self, table: Table) -> bool:
        """Tell whether the tasks of a module run on this machine."""
        site = self.of(table)
        return site is not None and site.batch == "local"

    def here(self, table: Table) -> Site | None:
        """Return the site that is the daemon's machine."""
        return self._named(HERE, table)

    def of_pool(self, site: str) -> Site | None:
        """Return a site that a pool was found to be at."""
        return self.found.get(site)

    def used(self) -> Mapping[str, Site]:
        """All sites that were named and could be read."""
        return {name: site for name, site in self.found.items() if site is not None}

    def _named(self, name: str, table: Table) -> Site | None:
        if name not in self.found:

            def tell(error: UsageError) -> None:
                table.problem("site", error.fact, error.hint)

            self.found[name] = _read(self.find, name, table, tell)
        return self.found[name]


def _read(
    find: Callable[[str], Site], name: str, table: Table, tell: Callable[[UsageError], None]
) -> Site | None:
    """Find a site, or note what is wrong: with its file as that says it, with its name by `tell`."""
    try:
        return find(name)
    except PipelineErrors as error:
        for problem in error.problems:
            table.notes.add(problem)
    except UsageError as error:
        tell(error)
    return None
