// Bochs' display extension (QEMU docs/specs/standard-vga.txt): eleven registers of sixteen bits that set a linear mode.
// While the mode is on, its geometry is kept within what the memory holds: the virtual picture is at least as wide as
// the visible one and as high as there is memory for.

const ID = 0;
const WIDTH = 1;
const HEIGHT = 2;
const DEPTH = 3;
const ENABLE = 4;
const BANK = 5;
const VIRTUAL_WIDTH = 6;
const VIRTUAL_HEIGHT = 7;
const X_OFFSET = 8;
const Y_OFFSET = 9;
const VIDEO_MEMORY = 10;
export const EXTENSION_REGISTERS = 11;

const ID_FIRST = 0xb0c0;
const ID_LAST = 0xb0c5;
const ENABLED = 1;
const UNIT = 64 * 1024;
const MAX_WIDTH = 16_000;
const MAX_HEIGHT = 12_000;
const DEPTHS = [4, 8, 15, 16, 24, 32];

export class DisplayExtension {
  readonly #registers = new Uint16Array(EXTENSION_REGISTERS);
  readonly #memory: number;

  /** `memory`: bytes of video memory. */
  constructor(memory: number) {
    this.#memory = memory;
    this.reset();
  }

  reset(): void {
    this.#registers.fill(0);
    this.#registers[ID] = ID_LAST;
    this.#registers[VIDEO_MEMORY] = this.#memory / UNIT;
  }

  /** Zero for a register that is not there. */
  read(index: number): number {
    return this.#registers[index] ?? 0;
  }

  write(index: number, value: number): void {
    const registers = this.#registers;
    switch (index) {
      case ID:
        if (value >= ID_FIRST && value <= ID_LAST) registers[ID] = value;
        break;
      case ENABLE:
        if (value & ENABLED && !(registers[ENABLE]! & ENABLED)) registers.fill(0, VIRTUAL_WIDTH, VIDEO_MEMORY);
        registers[ENABLE] = value;
        this.#fit();
        break;
      case BANK:
        registers[BANK] = value % (this.#memory / UNIT);
        break;
      case VIRTUAL_HEIGHT:
      case VIDEO_MEMORY:
        break;
      default:
        if (index >= EXTENSION_REGISTERS) return;
        registers[index] = value;
        this.#fit();
    }
  }

  #fit(): void {
    const registers = this.#registers;
    if (!(registers[ENABLE]! & ENABLED)) return;
    if (!DEPTHS.includes(registers[DEPTH]!)) registers[DEPTH] = 8;
    const bits = registers[DEPTH] === 15 ? 16 : registers[DEPTH]!;
    const width = Math.min(MAX_WIDTH, Math.max(8, registers[WIDTH]! & ~7));
    const wide = Math.min(MAX_WIDTH, Math.max(width, registers[VIRTUAL_WIDTH]! & ~7));
    const line = (wide * bits) / 8;
    const lines = Math.floor(this.#memory / line);
    const height = Math.min(MAX_HEIGHT, lines, Math.max(1, registers[HEIGHT]!));
    registers[WIDTH] = width;
    registers[VIRTUAL_WIDTH] = wide;
    registers[HEIGHT] = height;
    registers[VIRTUAL_HEIGHT] = Math.min(0xffff, lines);
    registers[X_OFFSET] = Math.min(registers[X_OFFSET]!, wide - width);
    registers[Y_OFFSET] = Math.min(registers[Y_OFFSET]!, Math.max(0, lines - height));
  }
}
