// Linux system calls of powerpc, as far as the guest init uses them: numbers, constants, and the call itself.
// Source: arch/powerpc/kernel/syscalls/syscall.tbl, arch/powerpc/include/uapi/asm/fcntl.h, include/uapi/linux/{reboot,fs,mman}.h.
// `sc`: number in r0, arguments from r3; CR0[SO] set = failed, r3 = positive errno.

import { r0 } from "@minivmm/ppc64/asm";
import type { GuestCode } from "./guest-code.ts";

export const SYS = {
  exit: 1,
  read: 3,
  write: 4,
  open: 5,
  close: 6,
  mount: 21,
  sync: 36,
  mkdir: 39,
  dup: 41,
  ioctl: 54,
  reboot: 88,
  mmap: 90,
  fsync: 118,
  nanosleep: 162,
  pread64: 179,
  pwrite64: 180,
  finit_module: 353,
} as const;

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
/** powerpc has its own value: 0400000. */
export const O_DIRECT = 0x20000;

export const PROT_READ_WRITE = 3;
export const MAP_SHARED = 1;

/** _IOR(0x12, 114, size_t) with powerpc's direction bits. */
export const BLKGETSIZE64 = 0x40081272;

export const LINUX_REBOOT_MAGIC1 = 0xfee1dead;
export const LINUX_REBOOT_MAGIC2 = 0x28121969;
export const LINUX_REBOOT_CMD_POWER_OFF = 0x4321fedc;

/** Makes the call; arguments are in place. Clobbers r0, r3..r12, CR0, CTR. */
export function systemCall(code: GuestCode, name: keyof typeof SYS): void {
  code.a.li(r0, SYS[name]);
  code.a.sc();
}

/** What the disk drivers share: checksums of protection information. */
const T10_MODULES = [
  "kernel/crypto/crct10dif_common.ko",
  "kernel/lib/crc-t10dif.ko",
  "kernel/lib/crc64.ko",
  "kernel/lib/crc64-rocksoft.ko",
  "kernel/block/t10-pi.ko",
] as const;

/**
 * Modules of Debian's 6.1 ppc64el kernel that /dev/nvme0n1 needs, below lib/modules/VERSION/, in loading order
 * (modinfo's depends; uncompressed there).
 */
export const NVME_MODULES = [
  ...T10_MODULES,
  "kernel/drivers/nvme/host/nvme-core.ko",
  "kernel/drivers/nvme/host/nvme.ko",
] as const;

/** The same for /dev/sda on a virtual SCSI adapter; the SCSI core is built in. */
export const VSCSI_MODULES = [
  ...T10_MODULES,
  "kernel/drivers/scsi/sd_mod.ko",
  "kernel/drivers/scsi/scsi_transport_srp.ko",
  "kernel/drivers/scsi/ibmvscsi/ibmvscsi.ko",
] as const;
