// All topics in one process, because the SDK takes seconds to load. It is to be run with --test-force-exit: the SDK keeps its connection, and with
// it the process.
import './snippets.mjs';
import './scheduled.mjs';
import './results.mjs';
