"""A task of a transfer module, as the module contract hands it over: by environment and files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scalebox_hpc.config.site import load_site, search_path
from scalebox_hpc.domain.site import Site
from scalebox_hpc.errors import UsageError
from scalebox_hpc.transfer.opening import Wish
from scalebox_hpc.transfer.place import Place, read_place
from scalebox_hpc.transfer.progress import Watch, to_file
from scalebox_hpc.units import size_bytes

Message = tuple[str, Mapping[str, str]]  # body and headers
_NO: Final = ("", "0", "no", "false", "off")


@dataclass(frozen=True, slots=True)
class Task:
    """One task, and where its results go."""

    body: str
    headers: Mapping[str, str]
    env: Mapping[str, str]
    work: Path
    words: Sequence[str] = ()  # of the command, after the verb

    def find_site(self, name: str) -> Site:
        """The site of that name, from the files that the pipeline sees."""
        directory = self.env.get("SBX_PIPELINE")
        return load_site(name, search_path(Path(directory) if directory else None))

    def text(self, name: str) -> str:
        """A variable, "" where it is not set."""
        return self.env.get(name, "")

    def flag(self, name: str, usual: bool) -> bool:
        """A variable that says yes or no."""
        return self.text(name).lower() not in _NO if name in self.env else usual

    def place(self, name: str) -> Place | None:
        """The place that a variable names, None where it is not set; relative ones are the pipeline's."""
        return read_place(self.text(name), self._beside()) if self.text(name) else None

    def _beside(self) -> Place:
        return Place("", self.env.get("SBX_PIPELINE") or str(self.work))

    def wish(self) -> Wish:
        """What LIMIT and STREAMS say. Raises UsageError."""
        limit, streams = self.text("LIMIT"), self.text("STREAMS")
        try:
            limit_mib_s = size_bytes(limit) / (1 << 20) if limit else None
            return Wish(limit_mib_s, max(1, int(streams)) if streams else None)
        except ValueError as error:
            raise UsageError(f"LIMIT or STREAMS: {error}", 'write LIMIT = "10M", STREAMS = 2') from error

    def watch(self) -> Watch:
        """Progress goes into the work directory."""
        return Watch(to_file(self.work))

    def send(self, body: str, headers: Mapping[str, str]) -> None:
        """Send a message on, where the module sends anything."""
        self.send_all([(body, headers)])

    def send_all(self, messages: Iterable[Message]) -> None:
        """Send messages on; where there are none, the body is not sent on either."""
        if self.flag("SBX_SENDS", True):
            with (self.work / "messages.jsonl").open("a", encoding="utf-8") as file:
                for body, headers in messages:
                    file.write(json.dumps({"body": body, "headers": dict(headers)}) + "\n")

    def tell(self, text: str, input_bytes: int, output_bytes: int) -> None:
        """Say in the report what was done."""
        told = {"inputBytes": input_bytes, "outputBytes": output_bytes, "userText": text}
        (self.work / "task-exec.json").write_text(json.dumps(told))


def task_here(words: Sequence[str] = (), env: Mapping[str, str] = os.environ) -> Task:
    """The task that this process is started for. Raises UsageError outside of one."""
    if "SBX_BODY" not in env:
        raise UsageError("this is a module's program, and no task started it", "type `sbx get` or `sbx put`")
    headers: dict[str, Any] = json.loads(env.get("SBX_HEADERS") or "{}")
    return Task(env["SBX_BODY"], headers, env, Path(env.get("SBX_WORK") or Path.cwd()), words)
