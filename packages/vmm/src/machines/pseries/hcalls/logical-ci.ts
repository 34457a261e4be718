// H_LOGICAL_CI_LOAD and _STORE (and their cached twins): one access of 1, 2, 4 or 8 bytes to a guest real address,
// for guest code that runs before it can map devices. Values are numeric in big-endian order, so a 4-byte load from a
// little-endian device register gives its bytes swapped. Source: PAPR 2.7 section 14.13, QEMU 7.2 hw/ppc/spapr_hcall.c.
import type { GuestMemory } from "@minivmm/host";
import {
  H_LOGICAL_CACHE_LOAD,
  H_LOGICAL_CACHE_STORE,
  H_LOGICAL_CI_LOAD,
  H_LOGICAL_CI_STORE,
  H_PARAMETER,
  H_SUCCESS,
} from "@minivmm/kvm";
import type { Phb } from "../phb.ts";
import { type HcallTable, hi, lo, put, type Registers, small } from "./table.ts";

/** `stored`: told of stores to RAM that are caching inhibited. */
export function registerLogicalCiHcalls(
  table: HcallTable,
  ram: GuestMemory,
  phb: Phb,
  stored: (address: number, size: number) => void,
): void {
  // The value in memory order; DataView turns it into numbers and back.
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  const halves = new Uint32Array(2);

  const load = (registers: Registers): number => {
    const size = sizeOf(registers);
    const address = small(registers, 5);
    if (size === 0 || address < 0) return H_PARAMETER;
    bytes.fill(0);
    if (!ram.readBytes(address, bytes.subarray(8 - size))) {
      if (!phb.read(address, size, halves)) return H_PARAMETER;
      toMemoryOrder(view, size, halves[0]!, halves[1]!);
    }
    put(registers, 4, view.getUint32(0), view.getUint32(4));
    return H_SUCCESS;
  };

  const store = (registers: Registers): number => {
    const size = sizeOf(registers);
    const address = small(registers, 5);
    if (size === 0 || address < 0) return H_PARAMETER;
    view.setUint32(0, hi(registers, 6));
    view.setUint32(4, lo(registers, 6));
    if (ram.writeBytes(address, bytes.subarray(8 - size))) return H_SUCCESS;
    let low = 0;
    let high = 0;
    for (let i = size - 1; i >= 4; i--) high = ((high << 8) | bytes[8 - size + i]!) >>> 0;
    for (let i = Math.min(size, 4) - 1; i >= 0; i--) low = ((low << 8) | bytes[8 - size + i]!) >>> 0;
    return phb.write(address, size, low, high) ? H_SUCCESS : H_PARAMETER;
  };

  table.register(H_LOGICAL_CI_LOAD, "H_LOGICAL_CI_LOAD", load);
  table.register(H_LOGICAL_CACHE_LOAD, "H_LOGICAL_CACHE_LOAD", load);
  table.register(H_LOGICAL_CI_STORE, "H_LOGICAL_CI_STORE", (registers) => {
    const code = store(registers);
    const address = small(registers, 5);
    if (code === H_SUCCESS && ram.contains(address, 1)) stored(address, sizeOf(registers));
    return code;
  });
  table.register(H_LOGICAL_CACHE_STORE, "H_LOGICAL_CACHE_STORE", store);
}

/** Register value (little-endian bytes in two halves) into the last `size` bytes, in memory order. */
function toMemoryOrder(view: DataView, size: number, low: number, high: number): void {
  for (let i = 0; i < size; i++) view.setUint8(8 - size + i, (i < 4 ? low >>> (i * 8) : high >>> ((i - 4) * 8)) & 0xff);
}

function sizeOf(registers: Registers): 1 | 2 | 4 | 8 | 0 {
  const size = small(registers, 4);
  return size === 1 || size === 2 || size === 4 || size === 8 ? size : 0;
}
