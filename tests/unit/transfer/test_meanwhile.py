"""A call on a thread of its own."""

from __future__ import annotations

import pytest

from scalebox_hpc.transfer.meanwhile import Meanwhile


@pytest.mark.parametrize("error", [UnicodeError, KeyboardInterrupt])
def test_whatever_it_raises_is_raised_where_it_is_waited_for(error: type[BaseException]) -> None:
    def fail() -> None:
        raise error("why")

    with pytest.raises(error, match="why"):
        Meanwhile(fail).result()
