"""Runs that are awaited."""

import asyncio
from typing import Any

import numpy as np
import pytest

import ort_rs
from models import ADD, model
from ort_rs.capi.onnxruntime_pybind11_state import Fail, InvalidArgument
from test_interrupts import ENDLESS, LOOP

X = np.ones((2, 3), np.float32)
FEEDS = {"x": X, "y": X}


@pytest.fixture
def session() -> ort_rs.InferenceSession:
    return ort_rs.InferenceSession(ADD)


def test_all_outputs(session: ort_rs.InferenceSession) -> None:
    async def work() -> list[Any]:
        return await session.run_async(FEEDS)

    np.testing.assert_array_equal(asyncio.run(work())[0], X + X)


def test_named_outputs_and_many_at_once(session: ort_rs.InferenceSession) -> None:
    async def work() -> list[list[Any]]:
        return await asyncio.gather(*(session.run_async(["z"], {"x": i * X, "y": X}) for i in range(50)))

    for i, (z,) in enumerate(asyncio.run(work())):
        np.testing.assert_array_equal(z, i * X + X)


def test_a_task_of_it(session: ort_rs.InferenceSession) -> None:
    async def work() -> list[Any]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(session.run_async(FEEDS))
        return task.result()

    np.testing.assert_array_equal(asyncio.run(work())[0], X + X)


def test_the_loop_goes_on_meanwhile() -> None:
    session = ort_rs.InferenceSession(model(LOOP))

    async def work() -> int:
        options = ort_rs.RunOptions()
        task = asyncio.create_task(session.run_async(None, ENDLESS, run_options=options))
        ticks = 0
        while ticks < 5:
            await asyncio.sleep(0.005)
            ticks += 1
        assert not task.done()
        options.terminate = True
        with pytest.raises(Fail, match="terminate flag"):
            await task
        return ticks

    assert asyncio.run(work()) == 5


def test_cancelling_ends_the_run() -> None:
    session = ort_rs.InferenceSession(model(LOOP))
    options = ort_rs.RunOptions()

    async def work() -> None:
        for _ in range(8):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(session.run_async(None, ENDLESS, run_options=options), 0.02)
        # Threads of the runs are free again, or nothing would run here.
        (y,) = await asyncio.wait_for(session.run_async({"n": np.array(2), "x": np.ones(2, np.float32)}), 60)
        np.testing.assert_array_equal(y, [1, 1])

    asyncio.run(work())
    assert not options.terminate


def test_failures_are_raised_where_it_is_awaited(session: ort_rs.InferenceSession) -> None:
    async def work(feeds: Any) -> None:
        run = session.run_async(feeds)
        await run

    with pytest.raises(InvalidArgument, match="Got invalid dimensions"):
        asyncio.run(work({"x": np.ones((3, 3), np.float32), "y": X}))
    with pytest.raises(ValueError, match="missing from input feed"):
        asyncio.run(work({"x": X}))


def test_one_thread_is_enough() -> None:
    options = ort_rs.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort_rs.InferenceSession(ADD, options)

    async def work() -> list[Any]:
        return await session.run_async(FEEDS)

    np.testing.assert_array_equal(asyncio.run(work())[0], X + X)


def test_nothing_to_feed(session: ort_rs.InferenceSession) -> None:
    with pytest.raises(TypeError, match="values to feed"):
        session.run_async(None)  # type: ignore[call-overload]
