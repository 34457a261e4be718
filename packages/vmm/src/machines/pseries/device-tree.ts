// The device tree that a pseries guest is entered with. Its values come from the machine's parts (RTAS table, memory
// map, plugged functions), so the tree says what the machine does.
// Source: PAPR 2.7 appendix B (bindings), Linux arch/powerpc/platforms/pseries for what it needs of them.
// Left out on purpose: ibm,vmx, ibm,dfp and altivec (the CPU has no vector unit), ibm,dec-bits (32-bit decrementer).
import { cells64, type FdtNode, type FdtValue, fdtNode, writeFdt } from "../../boot/index.ts";
import { type PciTreeRequest, pciNode } from "./device-tree-pci.ts";
import { IRQ_VTY, RTAS_SIZE, TIMEBASE_HZ, VTY_UNIT, XICS_PHANDLE } from "./memory-map.ts";
import { EEH_CALL_NAMES, RTAS_ERROR_LOG_MAX } from "./rtas/eeh.ts";

export interface DeviceTreeRequest extends PciTreeRequest {
  readonly ramBytes: number;
  readonly append: string;
  readonly initrd: { readonly start: number; readonly end: number } | undefined;
  readonly rtasEntry: number;
  readonly rtasTokens: Readonly<Record<string, number>>;
  /** Whether the guest is told of EEH. Default no. */
  readonly eeh?: boolean;
  /** Nodes of the VIO devices besides the console. Default none. */
  readonly vdevices?: readonly FdtNode[];
}

const CPU_VERSION_POWER9 = 0x0f000005;
const CPU_CLOCK_HZ = 1_000_000_000;
const CACHE_BLOCK = 128;
/** AP << 29 | page shift: 4 KiB, 64 KiB, 2 MiB, 1 GiB. */
const RADIX_AP_ENCODINGS = [0x0000000c, 0xa0000010, 0x20000015, 0x4000001e];
const HYPERTAS_FUNCTIONS = [
  "hcall-pft",
  "hcall-term",
  "hcall-interrupt",
  "hcall-tce",
  "hcall-vio",
  "hcall-set-mode",
  "hcall-multi-tce",
];

/** Architecture vector 5 as if client-architecture-support had been negotiated: XICS, radix only, GTSE. */
function architectureVector5(): Uint8Array {
  const vector = new Uint8Array(27);
  vector[0] = 0x19;
  vector[24] = 0x40;
  vector[26] = 0x40;
  return vector;
}

export function pseriesDeviceTree(request: DeviceTreeRequest): FdtNode {
  return fdtNode("", { "#address-cells": 2, "#size-cells": 2, device_type: "chrp", model: "minivmm pseries" }, [
    chosenNode(request),
    rtasNode(request),
    cpusNode(),
    fdtNode("memory@0", { device_type: "memory", reg: [0, 0, ...cells64(request.ramBytes)] }),
    vdeviceNode(request),
    fdtNode("interrupt-controller", {
      device_type: "PowerPC-External-Interrupt-Presentation",
      compatible: "IBM,ppc-xicp",
      "interrupt-controller": true,
      "#interrupt-cells": 2,
      "ibm,interrupt-server-ranges": [0, 1],
      phandle: XICS_PHANDLE,
    }),
    pciNode(request),
  ]);
}

/** The same as a blob. */
export function pseriesFdt(request: DeviceTreeRequest): Uint8Array {
  return writeFdt(pseriesDeviceTree(request));
}

function chosenNode({ append, initrd }: DeviceTreeRequest): FdtNode {
  return fdtNode("chosen", {
    bootargs: append,
    "linux,initrd-start": initrd?.start,
    "linux,initrd-end": initrd?.end,
    "stdout-path": `/vdevice/vty@${VTY_UNIT.toString(16)}`,
    "linux,pci-probe-only": 0,
    "ibm,architecture-vec-5": architectureVector5(),
  });
}

function rtasNode({ rtasEntry, rtasTokens, ddw, eeh = false, vdevices = [] }: DeviceTreeRequest): FdtNode {
  const tokens: Record<string, FdtValue> = {};
  for (const [name, token] of Object.entries(rtasTokens)) {
    const offered = EEH_CALL_NAMES.has(name) ? eeh : ddw || !name.endsWith("-pe-dma-window");
    if (offered) tokens[name] = token;
  }
  return fdtNode("rtas", {
    "linux,rtas-base": rtasEntry,
    "linux,rtas-entry": rtasEntry,
    "rtas-size": RTAS_SIZE,
    "ibm,hypertas-functions": vdevices.length > 0 ? [...HYPERTAS_FUNCTIONS, "hcall-crq"] : HYPERTAS_FUNCTIONS,
    "ibm,change-msix-capable": true,
    "rtas-error-log-max": eeh ? RTAS_ERROR_LOG_MAX : undefined,
    ...tokens,
  });
}

function cpusNode(): FdtNode {
  return fdtNode("cpus", { "#address-cells": 1, "#size-cells": 0 }, [
    fdtNode("cpu@0", {
      device_type: "cpu",
      reg: 0,
      "cpu-version": CPU_VERSION_POWER9,
      "timebase-frequency": TIMEBASE_HZ,
      "clock-frequency": CPU_CLOCK_HZ,
      "d-cache-block-size": CACHE_BLOCK,
      "i-cache-block-size": CACHE_BLOCK,
      "ibm,ppc-interrupt-server#s": 0,
      "ibm,processor-radix-AP-encodings": RADIX_AP_ENCODINGS,
    }),
  ]);
}

function vdeviceNode({ vdevices = [] }: DeviceTreeRequest): FdtNode {
  return fdtNode(
    "vdevice",
    {
      device_type: "vdevice",
      compatible: "IBM,vdevice",
      "#address-cells": 1,
      "#size-cells": 0,
      "#interrupt-cells": 2,
      "interrupt-controller": true,
    },
    [
      fdtNode(`vty@${VTY_UNIT.toString(16)}`, {
        device_type: "serial",
        compatible: "hvterm1",
        reg: VTY_UNIT,
        interrupts: [IRQ_VTY, 0],
      }),
      ...vdevices,
    ],
  );
}
