"""Runs that are awaited."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from ort_rs._core import InferenceSession, RunOptions


async def run(
    session: InferenceSession,
    output_names: Sequence[str] | None,
    input_feed: Mapping[str, Any],
    run_options: RunOptions | None,
) -> list[Any]:
    """Run a model on another thread and give what it gives; the run ends early when the task that awaits it is cancelled."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[list[Any]] = loop.create_future()

    def end(results: list[Any] | None, error: BaseException | None) -> None:
        if ended.done():
            return
        if error is not None:
            ended.set_exception(error)
        else:
            ended.set_result(results or [])

    def tell(results: list[Any] | None, error: BaseException | None) -> None:
        # A loop that was closed meanwhile has nobody who waits.
        if not loop.is_closed():
            loop.call_soon_threadsafe(end, results, error)

    running = session._start(output_names, input_feed, run_options, tell)  # The package's own.
    try:
        return await ended
    except asyncio.CancelledError:
        running.terminate()
        raise
