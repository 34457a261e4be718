// The CPU of the modelled KVM: @minivmm/ppc64 behind KVM's engine seam.
// Guest RAM that was allocated with allocateGuestRam() is used in place: the slots that show it from guest real 0 up are
// the CPU's RAM. Any other slot's memory is reached page by page, which works for everything and is slower.
// Invariants: one CPU for each such RAM (a second vCPU of a VM reaches it by pages); the CPU's own state at the start of
// the buffer is never guest memory, whatever a slot says.
import type { EngineMemory, PowerEngine, Slot } from "@minivmm/kvm/model";
import { allocateGuestRam, Cpu, type GuestRam, guestRamOf, guestRamTaken, type PageSource } from "@minivmm/ppc64";

/** POWER9 DD2.3: the first on which radix guests may take interrupts with relocation on. */
const PVR = 0x004e1203;
/** For a CPU without RAM in place: 8 MiB of page copies, and fewer decoded pages. */
const ELSEWHERE = { ramBytes: 0, framePages: 2048, decodePages: 256 };
const PAGE = 4096;

export function powerEngine(memory: EngineMemory): PowerEngine {
  const ram = ramInPlace(memory) ?? allocateGuestRam(ELSEWHERE);
  const cpu = Cpu.create({ ram, pvr: PVR, pages: pagesOf(memory, ram) });
  const memoryChanged = (): void => cpu.setRamLimit(bytesInPlace(memory, ram));
  memoryChanged();
  return { cpu, memoryChanged, release: () => cpu.release() };
}

/** The RAM behind the slot at guest real 0. */
function ramInPlace(memory: EngineMemory): GuestRam | undefined {
  for (const slot of memory.slots.values()) {
    if (slot.start !== 0) continue;
    const buffer = bufferOf(memory, slot);
    const ram = buffer && guestRamOf(buffer.buffer);
    const usable = ram && ram.framePages > 0 && !guestRamTaken(ram) && buffer.byteOffset === ram.ramOffset;
    if (usable) return ram;
  }
  return undefined;
}

/** How far slots show the RAM at its own place, without a gap from 0. */
function bytesInPlace(memory: EngineMemory, ram: GuestRam): number {
  const slots = [...memory.slots.values()].sort((a, b) => a.start - b.start);
  let end = 0;
  for (const slot of slots) {
    const bytes = slot.start === end ? bufferOf(memory, slot) : null;
    if (bytes?.buffer !== ram.memory.buffer || bytes.byteOffset !== ram.ramOffset + slot.start) break;
    end += slot.size;
  }
  return end;
}

function bufferOf({ process }: EngineMemory, { userAddress, size }: Slot): Uint8Array | null {
  return process.mm.resolve(userAddress, size, { write: true });
}

function pagesOf({ slots, process }: EngineMemory, ram: GuestRam): PageSource {
  const { mm } = process;
  return {
    readPage(real, into) {
      const user = slots.userAddressOf(real);
      return user >= 0 && mm.read(user, into);
    },
    writePage(real, from) {
      const user = slots.userAddressOf(real);
      if (user >= 0) mm.write(user, from);
    },
    offsetOf(real) {
      const user = slots.userAddressOf(real);
      if (user < 0) return -1;
      const bytes = mm.resolve(user, PAGE, { write: true });
      return bytes?.buffer === ram.memory.buffer && bytes.byteOffset >= ram.ramOffset ? bytes.byteOffset : 0;
    },
  };
}
