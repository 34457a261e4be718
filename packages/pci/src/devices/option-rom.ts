// Expansion ROMs without anything to run: images one after the other, each with a header, a jump to code that returns to
// the firmware, and the PCI data structure that says for which function it is (PCI Firmware 3.0 section 5.1).

const BLOCK = 512;
const SIGNATURE = 0xaa55;
const PCI_DATA_AT = 0x1c;
const PCI_DATA_LENGTH = 0x1c;
const PCI_DATA_REVISION = 3;
const LAST_IMAGE = 0x80;
const JUMP_NEAR = 0xe9;
const JUMP_AT = 3;
const JUMP_LENGTH = 3;
const ENTRY = 0xa8;
const FAR_RETURN = 0xcb;
const EFI = 3;
const EFI_SIGNATURE = 0x0ef1;

export interface RomImage {
  /** Length in blocks of 512 bytes. */
  readonly blocks: number;
  /** 0: PC firmware (default), 3: EFI. */
  readonly type?: 0 | 3;
  /** Blocks that stay in memory after the image has run, as its header says. Default: all. */
  readonly resident?: number;
}

export interface OptionRomOptions {
  readonly vendor: number;
  readonly device: number;
  /** 24-bit class code. */
  readonly classCode: number;
  readonly images: readonly RomImage[];
  /** The last image says that another one follows. Default false. */
  readonly cut?: boolean;
  /** Bytes of the ROM; what the images do not fill reads as ones. Default: that of the images. */
  readonly size?: number;
}

export function optionRom(options: OptionRomOptions): Uint8Array {
  const { images, cut = false } = options;
  const length = images.reduce((sum, image) => sum + image.blocks * BLOCK, 0);
  const rom = new Uint8Array(options.size ?? length).fill(0xff);
  let at = 0;
  images.forEach((image, n) => {
    const bytes = rom.subarray(at, at + image.blocks * BLOCK).fill(0);
    fillImage(bytes, image, options, n === images.length - 1 && !cut);
    at += bytes.length;
  });
  return rom;
}

function fillImage(bytes: Uint8Array, image: RomImage, options: OptionRomOptions, last: boolean): void {
  const { blocks, type = 0, resident = blocks } = image;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  view.setUint16(0, SIGNATURE, true);
  view.setUint16(0x18, PCI_DATA_AT, true);
  if (type === EFI) {
    view.setUint16(2, blocks, true);
    view.setUint32(4, EFI_SIGNATURE, true);
  } else {
    view.setUint8(2, resident);
    view.setUint8(JUMP_AT, JUMP_NEAR);
    view.setUint16(JUMP_AT + 1, ENTRY - JUMP_AT - JUMP_LENGTH, true);
    view.setUint8(ENTRY, FAR_RETURN);
  }
  bytes.set(new TextEncoder().encode("PCIR"), PCI_DATA_AT);
  view.setUint16(PCI_DATA_AT + 4, options.vendor, true);
  view.setUint16(PCI_DATA_AT + 6, options.device, true);
  view.setUint16(PCI_DATA_AT + 10, PCI_DATA_LENGTH, true);
  view.setUint8(PCI_DATA_AT + 12, PCI_DATA_REVISION);
  view.setUint32(PCI_DATA_AT + 13, options.classCode & 0xff_ffff, true);
  view.setUint16(PCI_DATA_AT + 16, blocks, true);
  view.setUint8(PCI_DATA_AT + 20, type);
  view.setUint8(PCI_DATA_AT + 21, last ? LAST_IMAGE : 0);
  // The bytes of an image that firmware runs add up to zero.
  if (type !== EFI) view.setUint8(JUMP_AT + JUMP_LENGTH, -bytes.reduce((sum, byte) => sum + byte, 0));
}
