// What an access of an x86 guest costs in the machine once it has left the CPU: a port, from the port to its device and
// back, a BAR through the host bridge's decode table, and a configuration register by both ways.
import { bench, describe } from "vitest";
import { PcHostBridge } from "../src/machines/pc/host-bridge.ts";
import { ECAM, IO_WINDOW, MEM32_WINDOW } from "../src/machines/pc/memory-map.ts";
import { PortBus } from "../src/machines/pc/ports.ts";
import { EmulatedEndpoint } from "../src/pci/emulated.ts";
import { TestFunction } from "../test/fakes.ts";

const BATCH = 1000;
const FUNCTIONS = 8;

/** Answers at once, so that the way to it is what is measured. */
class QuickFunction extends TestFunction {
  override readBar(_bar: number, offset: number, _width: number, out: Uint32Array): void {
    out[0] = offset;
    out[1] = 0;
  }
}

const ports = new PortBus();
const bridge = new PcHostBridge({ mem64: { start: 0, size: 0 }, setGsi: () => {}, sendMessage: () => {} });
bridge.attach(ports);
ports.claim(0x70, 2, { read: () => 0x5a, write: () => {} });
ports.claim(0x72, 2, { read: () => 0x5a, write: () => {} });
for (let slot = 1; slot <= FUNCTIONS; slot++) {
  bridge.plug(new EmulatedEndpoint("test", new QuickFunction(), { read: () => false, write: () => false }), slot);
  bridge.ecamWrite((slot << 15) + 0x10, 4, MEM32_WINDOW.start + slot * 0x2000);
  bridge.ecamWrite((slot << 15) + 0x14, 4, MEM32_WINDOW.start + slot * 0x2000 + 0x1000);
  bridge.ecamWrite((slot << 15) + 0x1c, 4, IO_WINDOW.start + slot * 0x20);
  bridge.ecamWrite((slot << 15) + 4, 2, 3);
}
ports.write(0xcf8, 4, 0x8000_0800);
const out = new Uint32Array(2);

function run(access: (i: number) => number): () => void {
  return () => {
    let sum = 0;
    for (let i = 0; i < BATCH; i++) sum += access(i);
    if (Number.isNaN(sum)) throw new Error("an access gave no number");
  };
}

function load(address: number): number {
  bridge.read(address, 4, out);
  return out[0]!;
}

describe(`pc: ports, ${BATCH} accesses a run`, () => {
  bench(
    "a byte of a device",
    run(() => ports.read(0x71, 1)),
  );
  bench(
    "a word of two devices",
    run(() => ports.read(0x71, 2)),
  );
  bench(
    "nobody's port",
    run(() => ports.read(0x2f8, 1)),
  );
  bench(
    "an I/O BAR",
    run(() => ports.read(IO_WINDOW.start + 0x24, 1)),
  );
});

describe(`pc: host bridge with ${FUNCTIONS} functions, ${BATCH} accesses a run`, () => {
  const first = MEM32_WINDOW.start + 0x2010;
  const lastBar = MEM32_WINDOW.start + FUNCTIONS * 0x2000 + 0x10;
  bench(
    "the same BAR again",
    run(() => load(lastBar)),
  );
  bench(
    "two BARs in turn, one of them the last",
    run((i) => load(i & 1 ? first : lastBar)),
  );
  bench(
    "nobody's address",
    run(() => load(MEM32_WINDOW.start + 0x100_0000)),
  );
  bench(
    "a register through 0xcfc",
    run(() => ports.read(0xcfc, 4)),
  );
  bench(
    "a register through ECAM",
    run(() => load(ECAM.start + (1 << 15))),
  );
  bench(
    "a write of COMMAND",
    run((i) => {
      bridge.ecamWrite((1 << 15) + 4, 2, i & 1 ? 3 : 1);
      return 0;
    }),
  );
});
