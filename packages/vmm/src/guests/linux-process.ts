// What every static Linux program here is made of: where it lies, its console, its mounts when it is the first process, and its
// end. Registers: r14 = exit status at "finish".
import { buildElf, PF_R, PF_W, PF_X, r3, r4, r5, r6, r7, r14, r30, r31 } from "@minivmm/ppc64/asm";
import type { GuestCode } from "./guest-code.ts";
import {
  LINUX_REBOOT_CMD_POWER_OFF,
  LINUX_REBOOT_MAGIC1,
  LINUX_REBOOT_MAGIC2,
  O_RDWR,
  systemCall,
} from "./linux-calls.ts";

export const TEXT_ADDRESS = 0x400000;
export const DATA_ADDRESS = 0x800000;

/** ELF image: the code, and `dataBytes` of zeroes at DATA_ADDRESS. */
export function linuxProgram(code: GuestCode, dataBytes: number): Uint8Array {
  return buildElf({
    entry: TEXT_ADDRESS,
    segments: [
      { address: TEXT_ADDRESS, bytes: code.finish(), flags: PF_R | PF_X },
      { address: DATA_ADDRESS, bytes: new Uint8Array(0), memorySize: dataBytes, flags: PF_R | PF_W },
    ],
  });
}

/** "finish": switches the machine off when this is the first process, and ends. */
export function emitFinish(code: GuestCode, asInit: boolean): void {
  const { a } = code;
  a.label("finish");
  if (asInit) {
    systemCall(code, "sync");
    a.li64(r3, LINUX_REBOOT_MAGIC1);
    a.li64(r4, LINUX_REBOOT_MAGIC2);
    a.li64(r5, LINUX_REBOOT_CMD_POWER_OFF);
    systemCall(code, "reboot");
  }
  a.mr(r3, r14);
  systemCall(code, "exit");
  a.b("finish");
}

/** "puts": write(1, r3, r4) until all is out; gives up silently when the console refuses. */
export function emitConsole(code: GuestCode): void {
  const { a } = code;
  code.routine("puts", [r30, r31], 0, () => {
    a.mr(r30, r3);
    a.mr(r31, r4);
    a.label("puts.more");
    a.cmpdi(r31, 0);
    a.ble("puts.return");
    a.li(r3, 1);
    a.mr(r4, r30);
    a.mr(r5, r31);
    systemCall(code, "write");
    a.bso("puts.return");
    a.add(r30, r30, r3);
    a.sub(r31, r31, r3);
    a.b("puts.more");
  });
}

/** "mounts": devtmpfs, sysfs and proc; then the console on descriptors 0 to 2 if the initramfs had no /dev/console. */
export function emitMounts(code: GuestCode): void {
  const { a } = code;
  code.routine("mounts", [], 0, () => {
    for (const [type, where] of [
      ["devtmpfs", "/dev"],
      ["sysfs", "/sys"],
      ["proc", "/proc"],
    ] as const) {
      a.la(r3, code.text(where));
      a.li(r4, 0o755);
      systemCall(code, "mkdir");
      a.la(r3, code.text(type));
      a.la(r4, code.text(where));
      a.la(r5, code.text(type));
      a.li(r6, 0);
      a.li(r7, 0);
      systemCall(code, "mount"); // already mounted is fine, and nothing below depends on sysfs or proc
    }
    a.la(r3, code.text("/dev/console"));
    a.li(r4, O_RDWR);
    systemCall(code, "open");
    a.bso("mounts.return");
    a.cmpdi(r3, 0);
    a.bne("mounts.spare");
    for (let i = 0; i < 2; i++) {
      a.li(r3, 0);
      systemCall(code, "dup");
    }
    a.b("mounts.return");
    a.label("mounts.spare");
    systemCall(code, "close");
  });
}
