// The data sheet of a 16550A as sentences, for comparison with the machine's: queues are arrays, and the causes of an
// interrupt are a list in the order of urgency. Registers have the numbers of their ports.

export const [DTR, RTS, OUT1, OUT2, LOOP] = [1, 2, 4, 8, 16] as const;

export class UartReference {
  waiting: number[] = [];
  received: number[] = [];
  sent: number[] = [];
  regs = { ier: 0, lcr: 0, mcr: 0, scr: 0, dll: 12, dlm: 0, fcr: 0 };
  overrun = false;
  thre = false;
  lines = 0xb0;
  deltas = 0;

  get looped(): boolean {
    return (this.regs.mcr & LOOP) !== 0;
  }
  get size(): number {
    return this.regs.fcr & 1 ? 16 : 1;
  }
  get causes(): number[] {
    const { ier, fcr } = this.regs;
    const trigger = fcr & 1 ? [1, 4, 8, 14][fcr >> 6]! : 1;
    const enough = this.received.length >= trigger;
    const list: [boolean, number][] = [
      [(ier & 4) !== 0 && this.overrun, 6],
      [(ier & 1) !== 0 && this.received.length > 0 && enough, 4],
      [(ier & 1) !== 0 && this.received.length > 0 && !enough, 12],
      [(ier & 2) !== 0 && this.thre, 2],
      [(ier & 8) !== 0 && this.deltas !== 0, 0],
    ];
    return list.flatMap(([there, id]) => (there ? [id] : []));
  }
  get level(): boolean {
    return (this.regs.mcr & OUT2) !== 0 && !this.looped && this.causes.length > 0;
  }

  /** The access before this one. */
  before = "";

  settle(): void {
    while (!this.looped && this.regs.mcr & RTS && this.received.length < this.size && this.waiting.length > 0) {
      this.received.push(this.waiting.shift()!);
    }
  }

  read(register: number): number {
    const { regs } = this;
    const dlab = (regs.lcr & 0x80) !== 0;
    const polling = register === 5 && this.before === "read 5";
    this.before = `read ${register}`;
    if (polling && !this.looped && !(regs.mcr & RTS) && this.received.length === 0) {
      this.received.push(...this.waiting.splice(0, 1));
    }
    const value = [
      () => (dlab ? regs.dll : (this.received.shift() ?? 0)),
      () => (dlab ? regs.dlm : regs.ier),
      () => {
        const cause = this.causes[0] ?? 1;
        if (cause === 2) this.thre = false;
        return cause + (regs.fcr & 1 ? 0xc0 : 0);
      },
      () => regs.lcr,
      () => regs.mcr,
      () => {
        const status = 0x60 + (this.received.length > 0 ? 1 : 0) + (this.overrun ? 2 : 0);
        this.overrun = false;
        return status;
      },
      () => {
        const status = this.lines + this.deltas;
        this.deltas = 0;
        return status;
      },
      () => regs.scr,
    ][register]!();
    this.settle();
    return value;
  }

  write(register: number, value: number): void {
    this.before = "write";
    const { regs } = this;
    const dlab = (regs.lcr & 0x80) !== 0;
    if (register === 0 && dlab) regs.dll = value;
    if (register === 0 && !dlab) {
      this.thre = true;
      if (!this.looped) this.sent.push(value);
      else if (this.received.length < this.size) this.received.push(value);
      else {
        this.overrun = true;
        if (this.size === 1) this.received = [value];
      }
    }
    if (register === 1 && dlab) regs.dlm = value;
    if (register === 1 && !dlab) {
      if ((regs.ier & 2) === 0 && value & 2) this.thre = true;
      regs.ier = value & 15;
    }
    if (register === 2) {
      if ((value & 1) !== (regs.fcr & 1) || (value & 3) === 3) this.received = [];
      regs.fcr = value & 1 ? value : 0;
    }
    if (register === 3) regs.lcr = value;
    if (register === 4) {
      regs.mcr = value & 31;
      const bit = (mask: number, to: number): number => (regs.mcr & mask ? to : 0);
      const lines = this.looped ? bit(RTS, 16) + bit(DTR, 32) + bit(OUT1, 64) + bit(OUT2, 128) : 0xb0;
      for (const line of [16, 32, 128]) if ((lines & line) !== (this.lines & line)) this.deltas |= line >> 4;
      if (this.lines & 64 && (lines & 64) === 0) this.deltas |= 4;
      this.lines = lines;
    }
    if (register === 7) regs.scr = value;
    this.settle();
  }
}
