// The setup header: the part of a bzImage, and of boot_params, through which kernel and boot loader tell each other
// where things are. The offsets are the same in both.
// Source: Linux Documentation/arch/x86/boot.rst and zero-page.rst, arch/x86/include/uapi/asm/bootparam.h.

/** Offsets of `struct setup_header` fields. */
export const HDR = {
  setup_sects: 0x1f1,
  syssize: 0x1f4,
  vid_mode: 0x1fa,
  boot_flag: 0x1fe,
  /** Second byte of the jump over the header: the header ends this many bytes behind 0x202. */
  jump_length: 0x201,
  header: 0x202,
  version: 0x206,
  kernel_version: 0x20e,
  type_of_loader: 0x210,
  loadflags: 0x211,
  code32_start: 0x214,
  ramdisk_image: 0x218,
  ramdisk_size: 0x21c,
  cmd_line_ptr: 0x228,
  initrd_addr_max: 0x22c,
  kernel_alignment: 0x230,
  relocatable_kernel: 0x234,
  xloadflags: 0x236,
  cmdline_size: 0x238,
  setup_data: 0x250,
  pref_address: 0x258,
  init_size: 0x260,
} as const;

/** First byte of the header, and where it has to end, since boot_params has something else behind it. */
export const HDR_START = 0x1f1;
export const HDR_LIMIT = 0x290;

/** "HdrS". */
export const HDR_MAGIC = 0x53726448;
export const BOOT_FLAG = 0xaa55;

/** `loadflags`: the protected-mode part belongs at 1 MiB or above (a bzImage, not a zImage). */
export const LOADED_HIGH = 1;
/** `xloadflags`: there is a 64-bit entry point 0x200 behind the load address. */
export const XLF_KERNEL_64 = 1;
/** Protocol that brought `xloadflags` (Linux 3.8), and the one that a made-up header claims. */
export const PROTOCOL_MINIMUM = 0x20c;
export const PROTOCOL_CURRENT = 0x20f;
/** `type_of_loader` of a loader without a number of its own. */
export const LOADER_UNDEFINED = 0xff;

const INITRD_ADDR_MAX = 0x7fff_ffff;
const CMDLINE_SIZE = 2047;

/** A header for a kernel that comes without one, as an ELF vmlinux does. */
export function madeUpSetupHeader(): Uint8Array {
  const header = new Uint8Array(HDR.init_size + 4 - HDR_START);
  const view = new DataView(header.buffer);
  view.setUint16(HDR.boot_flag - HDR_START, BOOT_FLAG, true);
  view.setUint32(HDR.header - HDR_START, HDR_MAGIC, true);
  view.setUint16(HDR.version - HDR_START, PROTOCOL_CURRENT, true);
  view.setUint8(HDR.loadflags - HDR_START, LOADED_HIGH);
  view.setUint32(HDR.initrd_addr_max - HDR_START, INITRD_ADDR_MAX, true);
  view.setUint16(HDR.xloadflags - HDR_START, XLF_KERNEL_64, true);
  view.setUint32(HDR.cmdline_size - HDR_START, CMDLINE_SIZE, true);
  return header;
}
