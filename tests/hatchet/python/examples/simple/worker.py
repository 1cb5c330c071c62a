"""The worker that the documentation's examples import. Here its task is a component of runlater's, so only its name matters."""

from hatchet_sdk import Context, EmptyModel, Hatchet

hatchet = Hatchet()


@hatchet.task(name="simple")
def simple(input: EmptyModel, ctx: Context) -> dict[str, str]:
    raise AssertionError("a worker runs nothing here")
