// Running without a schedule, and waiting for what it comes to.
import assert from 'node:assert/strict';
import test from 'node:test';
import { reject, simple } from './client.mjs';
import * as ours from './ours.mjs';

const HELLO = { result: 'Hello, world!' };

test('run', async () => {
  assert.deepEqual(await simple.run({ text: 'x'.repeat(5000) }), HELLO);
});

test('run without waiting, and a result later', async () => {
  const ref = await simple.runNoWait({ n: 1 }, { additionalMetadata: { tag: 'ts-no-wait' } });
  const id = await ref.getWorkflowRunId();
  const run = await ours.ended(id);
  assert.deepEqual([run.status, run.input, run.output], ['succeeded', { n: 1 }, HELLO]);
  assert.deepEqual(await ours.tagged('ts-no-wait'), new Set([id]));
  assert.deepEqual(await ref.output, HELLO);
});

test('several at once', async () => {
  assert.deepEqual(await simple.run([{ n: 1 }, { n: 2 }, { n: 3 }]), [HELLO, HELLO, HELLO]);
});

test('a failure', async () => {
  await assert.rejects(reject.run({}), (errors) => /rejected/.test(String(errors)));
});
