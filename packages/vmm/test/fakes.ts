// What the machine's tests run it with: RAM in an ArrayBuffer, a CPU that only notes what it was told, a small PCI
// function with one memory BAR, MSI and MSI-X, and registers with which hypercalls and RTAS calls are made.
import { GuestMemory } from "@minivmm/host";
import { Msi, Msix, PciDevice } from "@minivmm/pci";
import { ConsolePort } from "../src/console.ts";
import { DmaWindows } from "../src/machines/pseries/ddw.ts";
import { PseriesMachine } from "../src/machines/pseries/machine.ts";
import type { TceAcceleration } from "../src/machines/pseries/tce-acceleration.ts";
import { TceDma } from "../src/machines/pseries/tce-dma.ts";
import { EmulatedEndpoint } from "../src/pci/emulated.ts";
import { Timeline } from "../src/summary.ts";

export const RAM_BYTES = 0x10_0000;
/** Bytes around RAM that must keep their value whatever a guest does. */
const GUARD = 0x1_0000;
const GUARD_BYTE = 0xa5;

export class NotedCpu {
  line = false;
  ail: boolean | undefined;
  processTable: [number, number] | undefined;
  flushes = 0;
  cedes = 0;
  setAil(on: boolean): void {
    this.ail = on;
  }
  setProcessTable(base: number, sizeLog2: number): void {
    this.processTable = [base, sizeLog2];
  }
  flushTlb(): void {
    this.flushes++;
  }
  cede(): void {
    this.cedes++;
  }
  setExternalInterrupt(level: boolean): void {
    this.line = level;
  }
}

/** BAR 0: 4 KiB of bytes. BAR 1 (4 KiB): MSI-X table at 0, pending bits at 0x800. */
export class TestFunction extends PciDevice {
  readonly registers = new Uint8Array(0x1000);

  constructor() {
    super({ vendor: 0x1234, device: 0x5678, classCode: 0xff0000, interruptPin: 1, subsystemVendor: 1, subsystem: 2 });
    this.addBar({ index: 0, type: "mem32", size: 0x1000, prefetchable: false });
    this.addBar({ index: 1, type: "mem64", size: 0x1000, prefetchable: true });
    this.addBar({ index: 3, type: "io", size: 0x20, prefetchable: false });
    new Msi(this, { vectors: 4 });
    new Msix(this, { vectors: 8, bar: 1, table: 0, pba: 0x800 });
  }

  override readBar(bar: number, offset: number, width: 1 | 2 | 4 | 8, out: Uint32Array): void {
    out.fill(0);
    if (this.msix!.owns(bar, offset)) this.msix!.read(offset, width, out);
    else for (let i = 0; i < width; i++) out[i >> 2]! += this.registers[offset + i]! * 2 ** ((i & 3) * 8);
  }

  override writeBar(bar: number, offset: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): void {
    if (this.msix!.owns(bar, offset)) this.msix!.write(offset, width, lo, hi);
    else for (let i = 0; i < width; i++) this.registers[offset + i] = (i < 4 ? lo : hi) >>> ((i & 3) * 8);
  }

  protected override onReset(): void {}

  pin(level: boolean): void {
    this.setIntx(level);
  }

  interrupt(vector: number): boolean {
    return this.signal(vector);
  }
}

export interface Bench {
  readonly machine: PseriesMachine;
  readonly ram: GuestMemory;
  readonly cpu: NotedCpu;
  readonly device: TestFunction;
  readonly written: string[];
  readonly type: (text: string) => void;
  /** Makes a hypercall: arguments as numbers below 2^53, or [hi, lo]. Returns the signed code. */
  hcall(token: number, ...args: (number | readonly [number, number])[]): number;
  /** Register n after a call. */
  out(n: number): bigint;
  /** Makes an RTAS call with a frame at 0x1000. Returns all results, the status signed. */
  rtas(token: number, args: readonly number[], nret: number): number[];
  guardIntact(): boolean;
}

export const RTAS_FRAME = 0x1000;

export interface BenchOptions {
  readonly ddw?: boolean;
  readonly dmaWindowBytes?: number;
  /** KVM over the machine's RAM. */
  readonly accelerate?: (ram: GuestMemory) => TceAcceleration;
  readonly vfioAccel?: boolean;
}

export function bench(options: BenchOptions = {}): Bench {
  const buffer = new ArrayBuffer(GUARD + RAM_BYTES + GUARD);
  const all = new Uint8Array(buffer);
  all.fill(GUARD_BYTE, 0, GUARD);
  all.fill(GUARD_BYTE, GUARD + RAM_BYTES);
  const ram = new GuestMemory(buffer, GUARD, RAM_BYTES);
  const cpu = new NotedCpu();
  const written: string[] = [];
  let type: (text: string) => void = () => {};
  const console = new ConsolePort({
    write: (bytes) => written.push(new TextDecoder().decode(bytes)),
    onInput: (deliver) => {
      type = (text) => deliver(new TextEncoder().encode(text));
    },
  });
  const machine = new PseriesMachine({
    ram,
    cpu,
    console,
    timeline: new Timeline(() => 0),
    timeOfDay: () => Date.UTC(2020, 1, 3, 4, 5, 6, 7),
    dmaWindowBytes: options.dmaWindowBytes ?? 0x10_0000,
    ddw: options.ddw ?? true,
    tceAcceleration: options.accelerate?.(ram),
    vfioAccel: options.vfioAccel ?? true,
  });
  const device = new TestFunction();
  machine.phb.plug(new EmulatedEndpoint("test", device, new TceDma(machine.tables, DmaWindows.liobns, ram)));

  const registers = new Uint32Array(64);
  return {
    machine,
    ram,
    cpu,
    device,
    written,
    type,
    hcall(token, ...args) {
      registers.fill(0);
      [token, ...args].forEach((value, index) => {
        const [hi, lo] = typeof value === "number" ? [Math.floor(value / 2 ** 32), value % 2 ** 32] : value;
        registers[(3 + index) * 2] = lo;
        registers[(3 + index) * 2 + 1] = hi;
      });
      return machine.hcalls.dispatch(registers);
    },
    out: (n) => (BigInt(registers[n * 2 + 1]!) << 32n) | BigInt(registers[n * 2]!),
    rtas(token, args, nret) {
      [token, args.length, nret, ...args].forEach((word, index) => {
        ram.setU32be(RTAS_FRAME + index * 4, word >>> 0);
      });
      machine.rtas.dispatch(RTAS_FRAME);
      return Array.from({ length: nret }, (_, index) => {
        const word = ram.u32be(RTAS_FRAME + 12 + (args.length + index) * 4);
        return index === 0 ? word | 0 : word;
      });
    },
    guardIntact: () =>
      all.subarray(0, GUARD).every((byte) => byte === GUARD_BYTE) &&
      all.subarray(GUARD + RAM_BYTES).every((byte) => byte === GUARD_BYTE),
  };
}
