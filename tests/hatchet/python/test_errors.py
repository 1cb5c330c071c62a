"""What is refused, how the SDK shows it, and that nothing was changed."""

import os
import unittest

import grpc
from hatchet_sdk import ClientConfig, Context, EmptyModel, Hatchet
from hatchet_sdk.clients.rest.exceptions import BadRequestException, ForbiddenException, NotFoundException, UnauthorizedException

import ours
from examples.simple.worker import hatchet, simple


@hatchet.task(name="nowhere")
def nowhere(input: EmptyModel, ctx: Context) -> None: ...


def client(token):
    return Hatchet(config=ClientConfig(token=token))


class Errors(unittest.TestCase):
    def refused(self, kind, call):
        with self.assertRaises(kind) as refused:
            call()
        return refused.exception

    def description(self, kind, call):
        return ours.said(self.refused(kind, call))

    def test_create(self):
        at = ours.soon(days=1)
        create = lambda name="simple", input={}, metadata={}: lambda: hatchet.scheduled.create(name, at, input, {"tag": "bad", **metadata})
        missing = self.refused(BadRequestException, create(name="nowhere"))
        self.assertIn("workflow not found", missing.data.errors[0].description)
        self.assertIn("262144", self.description(BadRequestException, create(input={"a": "x" * 270_000})))
        self.assertIn("128 bytes", self.description(BadRequestException, create(metadata={"a": "x" * 129})))
        self.assertIn("1 to 128", self.description(BadRequestException, create(metadata={"a": ""})))
        self.assertEqual(ours.tagged("bad"), set())

    def test_schedule(self):
        code = lambda call: self.refused(grpc.RpcError, call).code()
        at = ours.soon(days=1)
        self.assertEqual(code(lambda: nowhere.schedule(at)), grpc.StatusCode.NOT_FOUND)
        self.assertEqual(code(lambda: simple.schedule(at, priority=4, additional_metadata={"tag": "bad"})), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual(code(lambda: nowhere.run(wait_for_result=False)), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual(ours.tagged("bad"), set())

    def test_no_such_row(self):
        unknown = "9b2d7c52-64a1-4b6e-9c0a-3f1d8b7e5a10"
        # Reading is tried five times, within sixteen seconds; changing once.
        self.assertIn("no run", self.description(NotFoundException, lambda: hatchet.scheduled.delete(unknown)))
        self.assertIn("no run", self.description(NotFoundException, lambda: hatchet.scheduled.update(unknown, ours.soon(days=1))))
        self.assertIn("UUID", self.description(BadRequestException, lambda: hatchet.scheduled.delete("x" * 36)))

    def test_tokens(self):
        id = hatchet.scheduled.create("simple", ours.soon(days=1), {}, {}).metadata.id
        token = os.environ["HATCHET_CLIENT_TOKEN"]
        head, claims, last = token.split(".")
        forged = client(".".join([head, claims, last[:-8] + "AAAAAAAA"]))
        self.refused(UnauthorizedException, lambda: forged.scheduled.delete(id))
        reader = client(os.environ["READ_TOKEN"])
        self.assertEqual(reader.scheduled.get(id).metadata.id, id)
        needed = self.description(ForbiddenException, lambda: reader.scheduled.delete(id))
        self.assertIn("`write`", needed)
        other = client(os.environ["OTHER_TOKEN"])
        self.assertIn("no run", self.description(NotFoundException, lambda: other.scheduled.delete(id)))
        self.assertEqual(ours.run(id)["status"], "scheduled")

    def test_another_tenant(self):
        foreign = ours.ask("GET", f"/api/v1/tenants/{client(os.environ['OTHER_TOKEN']).tenant_id}/workflows/scheduled")
        self.assertEqual((foreign[0], foreign[1]["errors"][0]["field"]), (403, "tenant"))
