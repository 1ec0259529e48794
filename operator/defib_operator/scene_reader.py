"""Reads the scene once for all intents that wait for it, and each intent's VM along with it.

Who asks gets what was read after the asking, never something older. Judges nothing.
"""

import asyncio
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store import sweep
from defib_core.store.clock import database_now
from defib_core.store.sweep import Candidate
from defib_operator.judging import Scene, set_scene
from defib_operator.sweep import Ears

Read = tuple[Scene, Candidate | None]


@dataclass(frozen=True, slots=True)
class _Asked:
    vm_id: int
    sized: bool
    answer: asyncio.Future[Read]


class SceneReader:
    """One reading at a time; whoever asks meanwhile is served together by the next."""

    def __init__(self, engine: AsyncEngine, ears: Ears) -> None:
        self._engine = engine
        self._ears = ears
        self._waiting: list[_Asked] = []
        self._task: asyncio.Task[None] | None = None

    async def read(self, vm_id: int, *, sized: bool) -> Read:
        """Read what is true now; `sized` also how large the fleets are, to hand out places."""
        answer: asyncio.Future[Read] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(vm_id, sized, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._serve())
        return await answer

    async def stop(self) -> None:
        """Leave whoever waits without an answer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _serve(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, []
                await self._answer(asked)
        finally:
            self._task = None

    async def _answer(self, asked: list[_Asked]) -> None:
        try:
            found = await self._read_for(asked)
        except Exception as error:  # noqa: BLE001 - each asker raises it
            for one in asked:
                if not one.answer.done():
                    one.answer.set_exception(error)
            return
        except BaseException:
            for one in asked:
                one.answer.cancel()
            raise
        for one in asked:
            if not one.answer.done():
                one.answer.set_result(found[one.vm_id])

    async def _read_for(self, asked: list[_Asked]) -> dict[int, Read]:
        vm_ids = sorted({one.vm_id for one in asked})
        async with self._engine.connect() as connection:
            now = await database_now(connection)
            sized = any(one.sized for one in asked)
            scene = await set_scene(connection, now, self._ears.heard_at(now), sized=sized)
            vms = await sweep.judged_all(connection, vm_ids, now)
        return {vm_id: (scene, vms.get(vm_id)) for vm_id in vm_ids}
