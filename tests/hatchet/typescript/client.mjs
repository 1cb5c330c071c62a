// The SDK, from where the tests have installed it, and the task of the documentation's examples: only its name matters here.
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(path.join(process.env.SDK_FOLDER, 'package.json'));
const { HatchetClient } = require('@hatchet-dev/typescript-sdk/v1');

export const connect = (token) => HatchetClient.init({ token });
export const hatchet = connect(process.env.HATCHET_CLIENT_TOKEN);

const fn = () => {
  throw new Error('a worker runs nothing here');
};
export const simple = hatchet.task({ name: 'simple', fn });
export const reject = hatchet.task({ name: 'reject', fn });
