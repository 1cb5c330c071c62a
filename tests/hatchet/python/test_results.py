"""Running without a schedule, and waiting for what it comes to: by polling, and by a stream."""

import asyncio
import unittest

from hatchet_sdk import Context, EmptyModel
from hatchet_sdk.exceptions import FailedTaskRunExceptionGroup

import ours
from examples.simple.worker import hatchet, simple

HELLO = {"result": "Hello, world!"}


@hatchet.task(name="reject")
def reject(input: EmptyModel, ctx: Context) -> None: ...


class Results(unittest.TestCase):
    def test_run(self):
        self.assertEqual(simple.run(), HELLO)

    def test_run_no_wait(self):
        ref = simple.run(wait_for_result=False, additional_metadata={"tag": "no-wait"})
        self.assertEqual(ours.ended(ref.workflow_run_id)["output"], HELLO)
        self.assertEqual(ours.tagged("no-wait"), {ref.workflow_run_id})
        self.assertEqual(ref.result(), HELLO)

    def test_a_stream_for_several(self):
        # In one loop: the SDK keeps its stream for the next one, which can't use it.
        async def several():
            refs = [await simple.aio_run(wait_for_result=False) for _ in range(3)]
            waits = [*(ref.aio_result() for ref in refs), simple.aio_run(), reject.aio_run()]
            return await asyncio.gather(*waits, return_exceptions=True)

        *succeeded, failed = asyncio.run(several())
        self.assertEqual(succeeded, [HELLO] * 4)
        self.assertIsInstance(failed, FailedTaskRunExceptionGroup)
        self.assertIn("rejected", str(failed.exceptions[0]))

    def test_many(self):
        runs = [simple.create_bulk_run_item(additional_metadata={"tag": "run-many"}) for _ in range(20)]
        refs = simple.run_many(runs, wait_for_result=False)
        self.assertEqual(ours.tagged("run-many"), {ref.workflow_run_id for ref in refs})
        for ref in refs:
            self.assertEqual(ours.ended(ref.workflow_run_id)["status"], "succeeded")

    def test_a_failure(self):
        with self.assertRaises(FailedTaskRunExceptionGroup) as failed:
            reject.run()
        self.assertIn("rejected", str(failed.exception.exceptions[0]))
