// A guest of machine pc, in this machine's KVM: it asks a passed-through device for 3!, prints the digit and powers off.
import { MinivmmError } from "@minivmm/host";
import { createPcVm } from "@minivmm/vmm";
import { Assembler, al, ax, dword, dx, eax, ebx, rbx } from "@minivmm/x86asm";

const ORIGIN = 0x10_0000;

function factorialGuest(): Uint8Array {
  const a = new Assembler({ bits: 64, origin: ORIGIN });
  a.mov(dx, 0xcf8); // where firmware has put BAR 0 of the function in slot 1
  a.mov(eax, 0x8000_0810);
  a.out(dx, eax);
  a.mov(dx, 0xcfc);
  a.in(eax, dx);
  a.mov(ebx, eax);
  a.mov(dword(rbx, 8), 3);
  a.mov(eax, dword(rbx, 8));
  a.add(al, 0x30);
  a.mov(dx, 0x3f8); // the first serial port
  a.out(dx, al);
  a.mov(dx, 0x604); // ACPI's control register: sleep type 5, now
  a.mov(ax, (5 << 10) | (1 << 13));
  a.out(dx, ax);
  return elf(a.bytes());
}

/** An x86-64 program of one segment, loaded at ORIGIN and entered at its beginning. */
function elf(code: Uint8Array): Uint8Array {
  const size = code.length;
  const header = [0x464c457f, 0x1_0102, 0, 0, 0x3e_0002, 1, ORIGIN, 0, 64, 0, 0, 0, 0, 0x38_0040, 1, 0];
  const segment = [1, 7, 120, 0, ORIGIN, 0, ORIGIN, 0, size, 0, size, 0, 4096, 0];
  return Buffer.concat([new Uint8Array(new Uint32Array([...header, ...segment]).buffer), code]);
}

try {
  using vm = await createPcVm({
    machine: "pc",
    memoryBytes: 32 * 1024 * 1024,
    kernel: { bytes: factorialGuest() },
    console: { write: (bytes) => process.stdout.write(bytes) },
    platform: { module: new URL("./pc-platform.mjs", import.meta.url).href, data: {} },
  });
  const exit = await vm.run();
  console.log(`\n${exit.reason}, status ${exit.status}; exits: ${JSON.stringify(vm.summary().exits)}`);
} catch (error) {
  if (!(error instanceof MinivmmError) || error.code !== "USAGE_ACCEL") throw error;
  console.log(`not run: ${error.message}; ${error.hint}`);
}
