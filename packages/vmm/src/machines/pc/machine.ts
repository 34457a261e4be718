// Machine pc: a PC's platform around guests that KVM runs, put together from its parts. It answers what leaves the guest:
// port accesses and accesses to memory that is not RAM. Interrupt controllers and interval timer are in the kernel.
// Source: Linux Documentation/arch/x86/boot.rst for what a directly entered kernel expects; QEMU 7.2 hw/i386/pc_q35.c for
// the choice of what exists.
// Invariant: nothing that a guest does throws here or reaches memory other than the guest's own RAM.
import type { ExitTarget } from "../../accel/x86/exits.ts";
import type { ConsolePort } from "../../console.ts";
import type { Timeline } from "../../summary.ts";
import { Cmos } from "./cmos.ts";
import type { CombinedWrites } from "./combined-writes.ts";
import { PcHostBridge } from "./host-bridge.ts";
import { type AddressRange, IRQ_COM1, IRQ_SCI } from "./memory-map.ts";
import { PortBus } from "./ports.ts";
import { PowerControl } from "./power.ts";
import type { PcRam } from "./ram.ts";
import { Uart } from "./uart.ts";

export type StopRequest = "power-off" | "reset";

/** The interrupt controllers, which are KVM's. Neither throws. */
export interface PcInterrupts {
  setLine(gsi: number, level: boolean): void;
  sendMessage(addressHi: number, addressLo: number, data: number): void;
}

export interface PcMachineOptions {
  readonly ram: PcRam;
  readonly console: ConsolePort;
  readonly interrupts: PcInterrupts;
  readonly timeline: Timeline;
  /** Where 64-bit BARs go. */
  readonly mem64: AddressRange;
}

export class PcMachine implements ExitTarget {
  readonly ports = new PortBus();
  readonly bridge: PcHostBridge;
  /** Set when the guest asked for the end of the run. */
  stopRequest: StopRequest | undefined;
  /** Called when it did. */
  onStopRequest: () => void = () => {};
  /** Accesses to memory that nothing claims. */
  strayAccesses = 0;
  /** CPU whose access is being answered. */
  cpu = 0;
  /** Stores to models that KVM gathers; present where there are any. */
  combined: CombinedWrites | undefined;
  /** Times that a GSI was raised or a message was sent by this program. */
  readonly delivered = { lines: 0, messages: 0 };

  constructor({ ram, console, interrupts, timeline, mem64 }: PcMachineOptions) {
    const setLine = (gsi: number, level: boolean): void => {
      if (level) this.delivered.lines++;
      interrupts.setLine(gsi, level);
    };
    this.bridge = new PcHostBridge({
      mem64,
      setGsi: setLine,
      sendMessage: (hi, lo, data) => {
        this.delivered.messages++;
        interrupts.sendMessage(hi, lo, data);
      },
      combinable: (ranges) => this.combined?.setRanges(ranges),
    });
    this.bridge.attach(this.ports);
    new Uart(console, (level) => setLine(IRQ_COM1, level)).attach(this.ports);
    new Cmos({ now: () => Date.now(), lowRamBytes: ram.low.size, highRamBytes: ram.highBytes }).attach(this.ports);
    new PowerControl({
      stop: (reason) => {
        this.stopRequest ??= reason;
        timeline.mark(reason === "power-off" ? "power off" : "reset");
        this.onStopRequest();
      },
      sci: (level) => setLine(IRQ_SCI, level),
      now: () => performance.now(),
    }).attach(this.ports);
    console.onFirstOutput = () => timeline.mark("first console output");
  }

  readPort(port: number, width: 1 | 2 | 4): number {
    this.combined?.drain();
    return this.ports.read(port, width);
  }

  writePort(port: number, width: 1 | 2 | 4, value: number): void {
    this.combined?.drain();
    this.ports.write(port, width, value);
  }

  readMemory(address: number, width: 1 | 2 | 4 | 8, out: Uint32Array): void {
    this.combined?.drain();
    if (!this.bridge.read(address, width, out)) this.strayAccesses++;
  }

  writeMemory(address: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): void {
    this.combined?.drain();
    if (!this.bridge.write(address, width, lo, hi)) this.strayAccesses++;
    this.combined?.stored(address);
  }

  close(): void {
    this.combined?.close();
    this.bridge.close();
  }
}
