// An expansion ROM with one image and nothing to run: a header, a return to the firmware that calls it, and the PCI data
// structure that says for which function it is (PCI Firmware 3.0 section 5.1).

const BLOCK = 512;
const SIGNATURE = 0xaa55;
const PCI_DATA_AT = 0x1c;
const PCI_DATA_LENGTH = 0x1c;
const LAST_IMAGE = 0x80;
const FAR_RETURN = 0xcb;

export interface OptionRomOptions {
  readonly vendor: number;
  readonly device: number;
  /** 24-bit class code. */
  readonly classCode: number;
  /** Length of the image in blocks of 512 bytes, as the PCI data structure has it. */
  readonly blocks: number;
  /** Bytes of the ROM; what the image does not fill reads as ones. Default: the image. */
  readonly size?: number;
}

export function optionRom(options: OptionRomOptions): Uint8Array {
  const { vendor, device, classCode, blocks } = options;
  const rom = new Uint8Array(options.size ?? blocks * BLOCK).fill(0xff);
  const image = rom.subarray(0, blocks * BLOCK).fill(0);
  const view = new DataView(rom.buffer);
  view.setUint16(0, SIGNATURE, true);
  view.setUint8(2, blocks);
  view.setUint8(3, FAR_RETURN);
  view.setUint16(0x18, PCI_DATA_AT, true);
  image.set(new TextEncoder().encode("PCIR"), PCI_DATA_AT);
  view.setUint16(PCI_DATA_AT + 4, vendor, true);
  view.setUint16(PCI_DATA_AT + 6, device, true);
  view.setUint16(PCI_DATA_AT + 10, PCI_DATA_LENGTH, true);
  view.setUint8(PCI_DATA_AT + 12, 3);
  view.setUint32(PCI_DATA_AT + 13, classCode & 0xff_ffff, true);
  view.setUint16(PCI_DATA_AT + 16, blocks, true);
  view.setUint8(PCI_DATA_AT + 21, LAST_IMAGE);
  // The bytes of an image add up to zero.
  let sum = 0;
  for (const byte of image) sum += byte;
  view.setUint8(6, -sum);
  return rom;
}
