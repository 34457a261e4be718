// A worker thread that says who it is, sits in read() on an eventfd that nobody signals, and says what came of it.
// On built packages.
import { parentPort, workerData } from "node:worker_threads";
import { realHost } from "@minivmm/host";

const host = realHost();
parentPort.postMessage(host.threads.current());
parentPort.postMessage(host.read(workerData.fd, new Uint8Array(8)));
