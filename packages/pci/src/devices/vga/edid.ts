// The identification of the monitor behind the display (VESA E-EDID A.2 section 3, CTA-861 section 7): 1280 x 800 at
// 75 Hz preferred, larger modes as standard and established timings, one extension block with television formats.

const BLOCK = 128;
const DESCRIPTORS_AT = 54;
const DESCRIPTOR = 18;
const EXTENSION_DESCRIPTORS_AT = 11;

const MAKER = "RHT";
const PRODUCT = 0x1234;
const NAME = "QEMU Monitor";
const WEEK = 42;
const YEAR = 2014;
/** Digital, 8 bits a colour, DisplayPort. */
const INPUT = 0xa5;
const GAMMA = 2.2;
/** sRGB; the first timing is the native one. */
const FEATURES = 0x06;
/** Chromaticity of red, green, blue and white in sRGB. */
const PRIMARIES = [0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329] as const;
/** 640 x 480, 800 x 600 and 1024 x 768 at 60 Hz. */
const ESTABLISHED = [0x21, 0x08, 0x00] as const;
/** Width and aspect ratio, at 60 Hz. */
const STANDARD = [
  [2048, "16:9"],
  [1920, "16:9"],
  [1920, "16:10"],
  [1600, "4:3"],
  [1680, "16:10"],
  [1440, "16:10"],
  [1280, "5:4"],
  [1280, "4:3"],
] as const;
const ASPECT = { "16:10": 0x00, "4:3": 0x40, "5:4": 0x80, "16:9": 0xc0 } as const;

const PREFERRED = { width: 1280, height: 800, refresh: 75 } as const;
const DOTS_PER_INCH = 100;

const TAG_DUMMY = 0x10;
const TAG_ESTABLISHED_3 = 0xf7;
const TAG_NAME = 0xfc;
const TAG_LIMITS = 0xfd;
/** 50 to 125 Hz, 30 to 160 kHz, up to 2550 MHz, no timing formula. */
const LIMITS = [50, 125, 30, 160, 255, 0x01] as const;
const ESTABLISHED_3 = [0x0a, 0x00, 0x40, 0x82, 0x00, 0x28, 0x20] as const;

const CTA_TAG = 0x02;
const CTA_REVISION = 3;
const CTA_VIDEO_BLOCK = 2 << 5;
const CTA_FORMATS = [125, 101, 96, 89, 31, 97] as const;

export function displayIdentification(): Uint8Array {
  const edid = new Uint8Array(BLOCK * 2);
  base(edid.subarray(0, BLOCK));
  extension(edid.subarray(BLOCK));
  return edid;
}

function base(out: Uint8Array): void {
  const { width, height } = PREFERRED;
  out.fill(0xff, 1, 7);
  const letters = [...MAKER].reduce((bits, letter) => (bits << 5) | (letter.charCodeAt(0) - 64), 0);
  out.set([letters >> 8, letters & 0xff, PRODUCT & 0xff, PRODUCT >> 8], 8);
  out.set([WEEK, YEAR - 1990, 1, 4, INPUT], 16);
  out.set([Math.floor(millimetres(width) / 10), Math.floor(millimetres(height) / 10)], 21);
  out.set([Math.round(GAMMA * 100) - 100, FEATURES], 23);
  chromaticity(out.subarray(25, 35));
  out.set(ESTABLISHED, 35);
  STANDARD.forEach(([wide, aspect], n) => {
    out.set([wide / 8 - 31, ASPECT[aspect]], 38 + n * 2);
  });
  detailedTiming(out.subarray(DESCRIPTORS_AT));
  descriptor(out, 1, TAG_ESTABLISHED_3, ESTABLISHED_3);
  descriptor(out, 2, TAG_LIMITS, [...LIMITS, ...padded("", 7)]);
  descriptor(out, 3, TAG_NAME, padded(NAME, 13));
  out[126] = 1;
  checksum(out);
}

/** Ten bits a coordinate: the low pairs of all of them first. */
function chromaticity(out: Uint8Array): void {
  const bits = PRIMARIES.map((value) => Math.round(value * 1024));
  bits.forEach((value, n) => {
    out[n >> 2]! |= (value & 3) << (6 - (n & 3) * 2);
    out[2 + n] = value >> 2;
  });
}

/** Blanking and sync as fixed shares of the picture; the clock follows from the refresh rate. */
function detailedTiming(out: Uint8Array): void {
  const { width, height, refresh } = PREFERRED;
  const share = (of: number, thousandths: number): number => Math.floor((of * thousandths) / 1000);
  const h = { blank: share(width, 350), front: share(width, 250), sync: share(width, 30) };
  const v = { blank: share(height, 35), front: share(height, 5), sync: share(height, 5) };
  const clock = Math.floor((refresh * (width + h.blank) * (height + v.blank)) / 10_000);
  const [wide, high] = [millimetres(width), millimetres(height)];
  out.set([
    clock & 0xff,
    clock >> 8,
    width & 0xff,
    h.blank & 0xff,
    ((width >> 8) << 4) | (h.blank >> 8),
    height & 0xff,
    v.blank & 0xff,
    ((height >> 8) << 4) | (v.blank >> 8),
    h.front & 0xff,
    h.sync & 0xff,
    ((v.front & 0xf) << 4) | (v.sync & 0xf),
    ((h.front >> 8) << 6) | ((h.sync >> 8) << 4),
    wide & 0xff,
    high & 0xff,
    ((wide >> 8) << 4) | (high >> 8),
    0,
    0,
    0x18, // digital, separate sync
  ]);
}

function extension(out: Uint8Array): void {
  out.set([CTA_TAG, CTA_REVISION, EXTENSION_DESCRIPTORS_AT, 0, CTA_VIDEO_BLOCK | CTA_FORMATS.length, ...CTA_FORMATS]);
  for (let at = EXTENSION_DESCRIPTORS_AT; at + DESCRIPTOR < BLOCK; at += DESCRIPTOR) out[at + 3] = TAG_DUMMY;
  checksum(out);
}

function descriptor(out: Uint8Array, index: number, tag: number, bytes: readonly number[]): void {
  const at = DESCRIPTORS_AT + index * DESCRIPTOR;
  out[at + 3] = tag;
  out.set(bytes, at + 5);
}

/** Text that ends with a line feed and is filled up with spaces. */
function padded(text: string, length: number): number[] {
  return Array.from({ length }, (_, n) => (n < text.length ? text.charCodeAt(n) : n === text.length ? 0x0a : 0x20));
}

function checksum(block: Uint8Array): void {
  let sum = 0;
  for (const byte of block) sum += byte;
  block[BLOCK - 1] = -sum;
}

function millimetres(pixels: number): number {
  return Math.floor((pixels * 254) / (DOTS_PER_INCH * 10));
}
