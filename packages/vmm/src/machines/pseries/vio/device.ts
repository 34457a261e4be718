// What every device on the VIO bus has: a unit address, an interrupt, a DMA window whose LIOBN is the unit address, and
// for devices that exchange messages a command/response queue.
// Source: PAPR 2.7 chapter 17 (Virtualized Input/Output); numbers as QEMU 7.2 hw/ppc/spapr_vio.c gives them.
// Invariant: all DMA of a device goes through the TCE table of its own LIOBN; a reset empties that table.
import type { GuestMemory } from "@minivmm/host";
import type { DmaPort } from "@minivmm/pci/function";
import { cells64, type FdtNode, type FdtValue, fdtNode } from "../../../boot/index.ts";
import { hex, VmmError } from "../../../errors.ts";
import type { TceTables } from "../iommu.ts";
import { IRQ_VIO, VIO_UNIT_BASE } from "../memory-map.ts";
import { TceDma } from "../tce-dma.ts";
import type { Xics } from "../xics.ts";
import { Crq } from "./crq.ts";

/** Pages of a VIO window: drivers do not ask, they know. */
const PAGE_SHIFT = 12;

export interface VioPlatform {
  readonly ram: GuestMemory;
  readonly tables: TceTables;
  readonly xics: Xics;
  /** Puts somebody between a device and its memory; `liobns` are its windows. */
  readonly guard?: ((device: string, dma: DmaPort, liobns: readonly number[]) => DmaPort) | undefined;
}

export interface VioDescription {
  /** Node name in the device tree, without the unit address. */
  readonly node: string;
  readonly deviceType: string;
  readonly compatible: string;
  /** Size of the DMA window at bus address 0, whole pages. */
  readonly windowBytes: number;
  readonly properties: Readonly<Record<string, FdtValue>>;
}

/** Interrupt source of a unit: each of the three ranges of unit addresses that are in use has its own share of 256. */
export function vioIrq(unit: number): number {
  if (unit >= VIO_UNIT_BASE) return IRQ_VIO + (unit & 0xff);
  if (unit >= 0x3000_0000) return IRQ_VIO + 0xf0 + ((unit >>> 12) & 0xf);
  return IRQ_VIO + ((unit >>> 12) & 0xff);
}

/** A VIO device with a window and a queue. Subclasses answer what is sent to them. */
export abstract class VioDevice {
  readonly name: string;
  readonly unit: number;
  readonly irq: number;
  readonly crq: Crq;
  protected readonly dma: DmaPort;
  private readonly platform: VioPlatform;
  private readonly description: VioDescription;
  private signals = false;

  constructor(name: string, unit: number, platform: VioPlatform, description: VioDescription) {
    this.name = name;
    this.unit = unit;
    this.irq = vioIrq(unit);
    this.platform = platform;
    this.description = description;
    const dma = new TceDma(platform.tables, [unit], platform.ram);
    this.dma = platform.guard?.(name, dma, [unit]) ?? dma;
    this.crq = new Crq(this.dma, description.windowBytes);
    this.crq.onPosted = () => {
      if (this.signals) platform.xics.pulse(this.irq);
    };
  }

  /** Takes its interrupt and opens its window. Throws VmmError DMA_WINDOW when the LIOBN is taken. */
  attach(): void {
    if (!this.addWindow()) {
      throw new VmmError(`device ${this.name}: the DMA window ${hex(this.unit)} cannot be opened`, {
        code: "DMA_WINDOW",
        details: { unit: this.unit },
      });
    }
    this.platform.xics.claim(this.irq, "edge", this.name);
  }

  /** A message by H_SEND_CRQ, as four 32-bit words in big-endian order. The queue is registered and accepting. */
  abstract receive(w0: number, w1: number, w2: number, w3: number): void;

  /** H_VIO_SIGNAL: whether messages raise the interrupt. Those that waited for room are looked at again. */
  setSignals(on: boolean): void {
    this.signals = on;
    this.crq.flush();
  }

  /** As after power-on: no queue, no signals, an empty window. */
  reset(): void {
    this.crq.free();
    this.signals = false;
    this.platform.tables.remove(this.unit);
    this.addWindow();
  }

  close(): void {}

  deviceTreeNode(): FdtNode {
    const { node, deviceType, compatible, windowBytes, properties } = this.description;
    return fdtNode(`${node}@${this.unit.toString(16)}`, {
      device_type: deviceType,
      compatible,
      reg: this.unit,
      interrupts: [this.irq, 0],
      "ibm,my-dma-window": [this.unit, 0, 0, ...cells64(windowBytes)],
      "ibm,#dma-address-cells": 2,
      "ibm,#dma-size-cells": 2,
      ...properties,
    });
  }

  private addWindow(): boolean {
    const entries = this.description.windowBytes / 2 ** PAGE_SHIFT;
    return this.platform.tables.add({ liobn: this.unit, pageShift: PAGE_SHIFT, busHi: 0, busLo: 0, entries }, "vio");
  }
}
