"""One task in Python. How to build it is in docs/guests.md."""

import json

from componentize_py_types import Err
from wit_world.exports import task
from wit_world.imports import context, types
from wit_world.imports.definition import TaskDefinition


class Task:
    def describe(self):
        greet = TaskDefinition("greet-from-python")
        greet.set_description("Greets somebody by name.")
        return [greet]

    def handle(self, name, input):
        value = json.loads(input.bytes)
        if not isinstance(value, dict) or not value.get("name"):
            raise Err(task.Failure_Reject("input.name is missing"))
        print(f"attempt {context.attempt()}")
        output = json.dumps({"greeting": f"Hello, {value['name']}!"}).encode()
        return task.Outcome_Done(types.Payload("application/json", output))
