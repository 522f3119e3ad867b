"""The agent's loop: who is called, and who is not."""

import os

from scalebox_hpc.agent.loop import READ, Loop


def test_an_event_of_a_closed_descriptor_is_not_told_to_the_next_one_of_its_number() -> None:
    loop, called = Loop(), []
    pipes = [os.pipe(), os.pipe()]
    silent, its_writer = os.pipe()

    def put_the_silent_one_in_place_of_all(fd: int) -> None:
        called.append("old")
        for reader, _ in pipes:
            loop.forget(reader)
            os.dup2(silent, reader)
            loop.once(reader, lambda fd: called.append("new"))

    for reader, writer in pipes:
        os.write(writer, b"x")
        loop.watch(reader, READ, put_the_silent_one_in_place_of_all)
    loop.turn(loop.now)
    loop.turn(loop.now)
    assert called == ["old"]
    os.write(its_writer, b"x")
    loop.turn(loop.now)
    assert called == ["old", "new", "new"]
    for fd in (silent, its_writer, *(fd for pipe in pipes for fd in pipe)):
        os.close(fd)
