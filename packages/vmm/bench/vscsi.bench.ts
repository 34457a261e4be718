// What a SCSI command costs the machine, from the hypercall to the message that it is done: without data, and with data
// of 4 KiB and 64 KiB in buffers of a page, which the TCE table maps in pages of 4 KiB.
import { bench, describe } from "vitest";
import { DATA, VscsiClient } from "../test/vscsi-client.ts";

const PAGE = 0x1000;

function buffers(bytes: number) {
  return Array.from({ length: bytes / PAGE }, (_, i) => ({ address: DATA + i * PAGE, length: PAGE }));
}

describe("vmm: virtual SCSI", () => {
  const client = new VscsiClient().open();
  const read = (bytes: number) => {
    const blocks = bytes / 512;
    return client.commandUnit({ cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, blocks, 0], in: buffers(bytes) });
  };
  const [nothing, small, large] = [client.commandUnit({ cdb: [0] }), read(PAGE), read(16 * PAGE)];
  const run = (unit: Uint8Array) => () => {
    if (client.exchange(unit).status !== 0) throw new Error("the command failed");
  };
  bench("TEST UNIT READY", run(nothing));
  bench("READ of 4 KiB", run(small));
  bench("READ of 64 KiB", run(large));
});
