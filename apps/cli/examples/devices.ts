// The command line as a function, with the streams of this process, and the list behind `minivmm devices` as data.

import { modelHost } from "@minivmm/model-host";
import { listPci, main } from "minivmm";

const { stdin, stdout, stderr, env } = process;
const status = await main(["devices", "-host", "model:power9"], { stdin, stdout, stderr, env });

using host = modelHost("power9");
const ready = listPci(host.spawn()).filter(({ viability }) => viability === "ready");
console.log(`exit status ${status}; a guest could get ${ready.map(({ address }) => address).join(", ")}`);
