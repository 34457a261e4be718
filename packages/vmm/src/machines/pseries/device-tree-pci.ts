// The PCI part of the device tree: the host bridge with its windows, and a node for every plugged function, because a
// partition does not probe the bus: what is not in the tree does not exist.
// Source: PAPR 2.7 section B.6 (PCI host bridges), IEEE 1275 PCI bus binding (reg: one entry for configuration space,
// then one a BAR with its register number and size).
import {
  PCI_CLASS_REVISION,
  PCI_DEVICE_ID,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from "@minivmm/pci";
import { cells64, type FdtNode, fdtNode } from "../../boot/index.ts";
import type { BarDescription, PciEndpoint } from "../../pci/endpoint.ts";
import { DmaWindows } from "./ddw.ts";
import {
  IO_WINDOW,
  IRQ_MSI_FIRST,
  MEM32_WINDOW,
  MEM64_WINDOW,
  type PciWindow,
  PHB_BUID_HI,
  PHB_BUID_LO,
  XICS_IRQ_BASE,
  XICS_IRQ_COUNT,
  XICS_PHANDLE,
} from "./memory-map.ts";
import { Phb, type PhbSlot } from "./phb.ts";
import {
  RTAS_IBM_CREATE_PE_DMA_WINDOW,
  RTAS_IBM_QUERY_PE_DMA_WINDOW,
  RTAS_IBM_REMOVE_PE_DMA_WINDOW,
  RTAS_IBM_RESET_PE_DMA_WINDOW,
} from "./rtas/tokens.ts";

const SPACE_IO = 0x0100_0000;
const SPACE_MEM32 = 0x0200_0000;
const SPACE_MEM64 = 0x0300_0000;
const PREFETCHABLE = 0x4000_0000;
const LEVEL_LOW = 1;

export interface PciTreeRequest {
  readonly slots: readonly PhbSlot[];
  /** Size of the default DMA window at bus address 0. */
  readonly dmaWindowBytes: number;
  /** Whether dynamic DMA windows are offered. */
  readonly ddw: boolean;
}

export function pciNode(request: PciTreeRequest): FdtNode {
  const ddw = request.ddw;
  return fdtNode(
    "pci@800000020000000",
    {
      device_type: "pci",
      compatible: "IBM,Logical_PHB",
      "#address-cells": 3,
      "#size-cells": 2,
      "#interrupt-cells": 1,
      "bus-range": [0, 0xff],
      reg: [PHB_BUID_HI, PHB_BUID_LO, 0, 0],
      "ibm,pci-config-space-type": 1,
      "ibm,pe-total-#msi": XICS_IRQ_BASE + XICS_IRQ_COUNT - IRQ_MSI_FIRST,
      ranges: [...range(SPACE_IO, IO_WINDOW), ...range(SPACE_MEM32, MEM32_WINDOW), ...range(SPACE_MEM64, MEM64_WINDOW)],
      "interrupt-map-mask": [0xf800, 0, 0, 7],
      "interrupt-map": request.slots.flatMap(interruptMapEntry),
      "ibm,#dma-address-cells": 2,
      "ibm,#dma-size-cells": 2,
      "ibm,dma-window": [DmaWindows.liobns[0]!, 0, 0, ...cells64(request.dmaWindowBytes)],
      "ibm,ddw-applicable": ddw
        ? [RTAS_IBM_QUERY_PE_DMA_WINDOW, RTAS_IBM_CREATE_PE_DMA_WINDOW, RTAS_IBM_REMOVE_PE_DMA_WINDOW]
        : undefined,
      "ibm,ddw-extensions": ddw ? [2, RTAS_IBM_RESET_PE_DMA_WINDOW, 1] : undefined,
    },
    request.slots.map(functionNode),
  );
}

function range(space: number, window: PciWindow): number[] {
  return [space, ...cells64(window.bus), ...cells64(window.cpu), ...cells64(window.size)];
}

function interruptMapEntry({ slot, endpoint }: PhbSlot): number[] {
  const pin = endpoint.interruptPin;
  return pin === 0 ? [] : [slot << 11, 0, 0, pin, XICS_PHANDLE, Phb.lsiOf(slot, pin), LEVEL_LOW];
}

function functionNode({ slot, endpoint }: PhbSlot): FdtNode {
  const config = (offset: number, width: 1 | 2 | 4): number => endpoint.readConfig(offset, width);
  const devfn = slot << 11;
  return fdtNode(`pci${hex4(config(PCI_VENDOR_ID, 2))},${hex4(config(PCI_DEVICE_ID, 2))}@${slot.toString(16)}`, {
    reg: [devfn, 0, 0, 0, 0, ...barEntries(endpoint, devfn)],
    "vendor-id": config(PCI_VENDOR_ID, 2),
    "device-id": config(PCI_DEVICE_ID, 2),
    "class-code": config(PCI_CLASS_REVISION, 4) >>> 8,
    "revision-id": config(PCI_CLASS_REVISION, 1),
    "subsystem-vendor-id": config(PCI_SUBSYSTEM_VENDOR_ID, 2) || undefined,
    "subsystem-id": config(PCI_SUBSYSTEM_ID, 2) || undefined,
    interrupts: endpoint.interruptPin || undefined,
    "ibm,req#msi": endpoint.msiVectors || undefined,
    "ibm,req#msi-x": endpoint.msixVectors || undefined,
    // 1: configuration space has 4096 bytes.
    "ibm,pci-config-space-type": endpoint.configSize === 4096 ? 1 : 0,
  });
}

function barEntries(endpoint: PciEndpoint, devfn: number): number[] {
  return endpoint.bars.flatMap((bar) =>
    bar.type === "rom" ? [] : [spaceOf(bar) | devfn | (0x10 + bar.index * 4), 0, 0, ...cells64(bar.size)],
  );
}

function spaceOf(bar: BarDescription): number {
  const space = bar.type === "io" ? SPACE_IO : bar.type === "mem32" ? SPACE_MEM32 : SPACE_MEM64;
  return space | (bar.prefetchable ? PREFETCHABLE : 0);
}

function hex4(value: number): string {
  return value.toString(16);
}
