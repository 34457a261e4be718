// Hypercalls about the virtual CPU: H_SET_MODE, H_REGISTER_PROC_TBL, H_REGISTER_VPA, H_GET_CPU_CHARACTERISTICS,
// H_CEDE, H_CONFER, H_PROD. Source: PAPR 2.7 sections 14.4.6, 14.11.3, 14.16; QEMU 7.2 hw/ppc/spapr_hcall.c.
// The CPU is little-endian and radix only: asking for anything else is refused as an unsupported flag or parameter.
import type { GuestMemory } from "@minivmm/host";
import {
  H_CEDE,
  H_CONFER,
  H_GET_CPU_CHARACTERISTICS,
  H_HARDWARE,
  H_P2,
  H_P3,
  H_P4,
  H_PARAMETER,
  H_PROD,
  H_REGISTER_PROC_TBL,
  H_REGISTER_VPA,
  H_SET_MODE,
  H_SUCCESS,
  H_UNSUPPORTED_FLAG_START,
} from "@minivmm/kvm";
import { type HcallTable, hi, put, type Registers, small } from "./table.ts";

/** What these calls need of the CPU. */
export interface HcallCpu {
  /** Alternate interrupt location: interrupts are taken with relocation on. */
  setAil(on: boolean): void;
  setProcessTable(base: number, sizeLog2: number): void;
  flushTlb(): void;
  /** Sets MSR[EE] and sleeps until an interrupt is pending. */
  cede(): void;
}

const RESOURCE_LE = 4;
const RESOURCE_ADDR_TRANS_MODE = 3;
const MSR_LE_FLAG = 1;
const AIL_NONE = 0;
const AIL_C000_0000_0000_4000 = 3;

const PROC_TBL_FLAGS = 0x1f;
const PROC_TBL_NEW = 0x10;
const PROC_TBL_REGISTER = 0x08;
const PROC_TBL_RADIX = 0x04;
const PROC_TBL_SIZE_MAX = 24;

/** The function is in bits 16:18 of the flags, which is the upper half's 0xe000. */
const VPA_FUNCTION_SHIFT = 13;
const VPA_REGISTER = 1;
const DTL_REGISTER = 2;
const SLB_SHADOW_REGISTER = 3;
const VPA_DEREGISTER = 5;
const DTL_DEREGISTER = 6;
const SLB_SHADOW_DEREGISTER = 7;
const VPA_SIZE_MIN = 640;
const SLB_SHADOW_SIZE_MIN = 8;
const DTL_SIZE_MIN = 48;
const VPA_ALIGNMENT = 64;

export function registerCpuHcalls(table: HcallTable, cpu: HcallCpu, ram: GuestMemory): void {
  table.register(H_SET_MODE, "H_SET_MODE", (registers) => setMode(cpu, registers));
  table.register(H_REGISTER_PROC_TBL, "H_REGISTER_PROC_TBL", (registers) => registerProcTable(cpu, ram, registers));

  let vpa = 0;
  table.register(H_REGISTER_VPA, "H_REGISTER_VPA", (registers) => {
    if (small(registers, 5) !== 0) return H_PARAMETER;
    const what = (hi(registers, 4) >>> VPA_FUNCTION_SHIFT) & 7;
    const area = small(registers, 6);
    switch (what) {
      case VPA_REGISTER: {
        const code = checkArea(ram, area, VPA_SIZE_MIN);
        if (code === H_SUCCESS) vpa = area;
        return code;
      }
      case VPA_DEREGISTER:
        vpa = 0;
        return H_SUCCESS;
      case DTL_REGISTER:
        return vpa === 0 ? H_HARDWARE : checkArea(ram, area, DTL_SIZE_MIN);
      case SLB_SHADOW_REGISTER:
        return vpa === 0 ? H_HARDWARE : checkArea(ram, area, SLB_SHADOW_SIZE_MIN);
      case DTL_DEREGISTER:
      case SLB_SHADOW_DEREGISTER:
        return H_SUCCESS;
      default:
        return H_PARAMETER;
    }
  });

  table.register(H_GET_CPU_CHARACTERISTICS, "H_GET_CPU_CHARACTERISTICS", (registers) => {
    // No speculation barriers are needed on a CPU that does not speculate.
    put(registers, 4, 0, 0);
    put(registers, 5, 0, 0);
    return H_SUCCESS;
  });

  table.register(H_CEDE, "H_CEDE", () => {
    cpu.cede();
    return H_SUCCESS;
  });
  // With one CPU there is nobody to give time to; waking the caller itself is a no-op.
  table.register(H_CONFER, "H_CONFER", () => H_SUCCESS);
  table.register(H_PROD, "H_PROD", (registers) => (small(registers, 4) === 0 ? H_SUCCESS : H_PARAMETER));
}

function setMode(cpu: HcallCpu, registers: Registers): number {
  const flags = small(registers, 4);
  const resource = small(registers, 5);
  if (resource !== RESOURCE_LE && resource !== RESOURCE_ADDR_TRANS_MODE) return H_P2;
  if (small(registers, 6) !== 0) return H_P3;
  if (small(registers, 7) !== 0) return H_P4;
  if (resource === RESOURCE_LE) return flags === MSR_LE_FLAG ? H_SUCCESS : H_UNSUPPORTED_FLAG_START;
  if (flags !== AIL_NONE && flags !== AIL_C000_0000_0000_4000) return H_UNSUPPORTED_FLAG_START;
  cpu.setAil(flags === AIL_C000_0000_0000_4000);
  return H_SUCCESS;
}

function registerProcTable(cpu: HcallCpu, ram: GuestMemory, registers: Registers): number {
  const flags = small(registers, 4);
  const base = small(registers, 5);
  const pageSize = small(registers, 6);
  const size = small(registers, 7);
  if (flags < 0 || (flags & ~PROC_TBL_FLAGS) !== 0 || flags > PROC_TBL_FLAGS) return H_PARAMETER;
  if ((flags & PROC_TBL_NEW) === 0) return H_PARAMETER;
  if ((flags & PROC_TBL_REGISTER) === 0) {
    if (base !== 0) return H_P2;
    if (pageSize !== 0) return H_P3;
    if (size !== 0) return H_P4;
    cpu.setProcessTable(0, 0);
    cpu.flushTlb();
    return H_SUCCESS;
  }
  if ((flags & PROC_TBL_RADIX) === 0) return H_PARAMETER;
  if (base < 0 || base % 4096 !== 0) return H_P2;
  if (pageSize !== 0) return H_P3;
  if (size < 0 || size > PROC_TBL_SIZE_MAX) return H_P4;
  if (!ram.contains(base, 2 ** (size + 12))) return H_P2;
  cpu.setProcessTable(base, size + 12);
  cpu.flushTlb();
  return H_SUCCESS;
}

/** An area that the guest shares: aligned, inside RAM, as long as it says itself, and within one 4 KiB page. */
function checkArea(ram: GuestMemory, area: number, minimum: number): number {
  if (area === 0) return H_HARDWARE;
  if (area < 0 || area % VPA_ALIGNMENT !== 0 || !ram.contains(area, minimum)) return H_PARAMETER;
  // A dispatch trace log says its length in 32 bits, the others in 16; both at offset 4.
  const size = minimum === DTL_SIZE_MIN ? ram.u32be(area + 4) : ram.u16be(area + 4);
  if (size < minimum) return H_PARAMETER;
  const onePage = minimum === DTL_SIZE_MIN || Math.floor(area / 4096) === Math.floor((area + size - 1) / 4096);
  return onePage && ram.contains(area, size) ? H_SUCCESS : H_PARAMETER;
}
