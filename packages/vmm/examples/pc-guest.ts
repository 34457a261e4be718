// A guest of machine pc, in this machine's KVM: it asks a passed-through device for 3!, prints the digit and powers off.
import { MinivmmError } from "@minivmm/host";
import { createPcVm } from "@minivmm/vmm";
import { PcProgram } from "@minivmm/vmm/guests/pc";
import { al, dword, dx, eax, ebx, rbx } from "@minivmm/x86asm";

const guest = new PcProgram();
guest.mov(dx, 0xcf8); // where firmware has put BAR 0 of the function in slot 1
guest.mov(eax, 0x8000_0810);
guest.out(dx, eax);
guest.mov(dx, 0xcfc);
guest.in(eax, dx);
guest.mov(ebx, eax);
guest.mov(dword(rbx, 8), 3);
guest.mov(eax, dword(rbx, 8));
guest.add(al, 0x30);
guest.putc();
guest.powerOff();

try {
  using vm = await createPcVm({
    machine: "pc",
    memoryBytes: 32 * 1024 * 1024,
    kernel: { bytes: guest.elf() },
    console: { write: (bytes) => process.stdout.write(bytes) },
    platform: { module: new URL("./pc-platform.mjs", import.meta.url).href, data: {} },
  });
  const exit = await vm.run();
  console.log(`\n${exit.reason}, status ${exit.status}; exits: ${JSON.stringify(vm.summary().exits)}`);
} catch (error) {
  if (!(error instanceof MinivmmError) || error.code !== "USAGE_ACCEL") throw error;
  console.log(`not run: ${error.message}; ${error.hint}`);
}
