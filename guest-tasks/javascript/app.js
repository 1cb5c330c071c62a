// One task in JavaScript. How to build it is in docs/guests.md.

import { attempt } from "runlater:scheduler/context@0.1.0";
import { TaskDefinition } from "runlater:scheduler/definition@0.1.0";

export const task = {
  describe() {
    const greet = new TaskDefinition("greet-from-javascript");
    greet.setDescription("Greets somebody by name.");
    return [greet];
  },

  handle(name, input) {
    const value = JSON.parse(new TextDecoder().decode(input.bytes));
    if (!value?.name) throw { tag: "reject", val: "input.name is missing" };
    console.log(`attempt ${attempt()}`);
    const bytes = new TextEncoder().encode(JSON.stringify({ greeting: `Hello, ${value.name}!` }));
    return { tag: "done", val: { mediaType: "application/json", bytes } };
  },
};
