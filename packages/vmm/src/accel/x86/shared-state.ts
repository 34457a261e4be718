// What the threads of one VM share besides RAM: whether it shall stop, how to reach each virtual CPU, and one letter box a
// CPU for accesses that the machine's thread answers.
// Layout: 32-bit words. Word 0 stop flag, word 1 the boxes with a letter (one bit a CPU), word 2 the size of a vCPU's run
// page, word 3 how many threads use vCPUs that the machine's thread made, word 4 bytes of console output that are on their way; then for each CPU its thread, the descriptor of
// its vCPU, and the box.
// Invariants: a box is written by its CPU while it is EMPTY or ANSWERED and by the machine's thread while it is POSTED;
// whoever waits is woken by the change of `state`, also when the VM stops.

/** One bit each in a word. */
export const CPUS_MAX = 32;

/** Bytes of output that may be on their way from thread to thread. */
const OUTPUT_MAX = 0x1_0000;

const STOP = 0;
const POSTED_BOXES = 1;
const RUN_PAGE_BYTES = 2;
const USERS = 3;
const OUTPUT = 4;
const HEAD_WORDS = 5;
const CPU_WORDS = 12;

const THREAD = 0;
const DESCRIPTOR = 1;
const STATE = 2;
const KIND = 3;
const WRITE = 4;
const WIDTH = 5;
const ADDRESS_LO = 6;
const ADDRESS_HI = 7;
const LO = 8;
const HI = 9;

const EMPTY = 0;
const POSTED = 1;
const ANSWERED = 2;
const VOID = 3;

export type LetterKind = 0 | 1 | 2;
export const PORT_ACCESS = 0;
export const MEMORY_ACCESS = 1;
/** The CPU cannot go on: `lo` is KVM's exit reason, `hi` what it says about it. */
export const CPU_ENDED = 2;

export interface Letter {
  kind: LetterKind;
  write: boolean;
  width: 1 | 2 | 4 | 8;
  /** Port, or guest physical address. */
  address: number;
  lo: number;
  hi: number;
}

export class SharedState {
  readonly buffer: SharedArrayBuffer;
  private readonly words: Int32Array;

  /** On memory of another thread's SharedState, or on new memory for `cpus`. */
  constructor(from: SharedArrayBuffer | number) {
    this.buffer = typeof from === "number" ? new SharedArrayBuffer((HEAD_WORDS + from * CPU_WORDS) * 4) : from;
    this.words = new Int32Array(this.buffer);
  }

  get cpus(): number {
    return (this.words.length - HEAD_WORDS) / CPU_WORDS;
  }

  get stopping(): boolean {
    return Atomics.load(this.words, STOP) !== 0;
  }

  /** Nobody runs the guest from now on; CPUs that wait for an answer get none. */
  stop(): void {
    Atomics.store(this.words, STOP, 1);
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      const state = word(cpu, STATE);
      if (Atomics.compareExchange(this.words, state, POSTED, VOID) === POSTED) Atomics.notify(this.words, state);
      Atomics.notify(this.words, word(cpu, DESCRIPTOR));
    }
    Atomics.notify(this.words, OUTPUT);
  }

  /** Bytes of a vCPU's run page (KVM_GET_VCPU_MMAP_SIZE); told before any descriptor. */
  get runPageBytes(): number {
    return Atomics.load(this.words, RUN_PAGE_BYTES);
  }

  set runPageBytes(bytes: number) {
    Atomics.store(this.words, RUN_PAGE_BYTES, bytes);
  }

  /** The machine's thread has made the vCPU. Descriptors are told as one more, so that 0 is none. */
  setDescriptor(cpu: number, fd: number): void {
    Atomics.store(this.words, word(cpu, DESCRIPTOR), fd + 1);
    Atomics.notify(this.words, word(cpu, DESCRIPTOR));
  }

  /** -1 while there is none. */
  descriptor(cpu: number): number {
    return Atomics.load(this.words, word(cpu, DESCRIPTOR)) - 1;
  }

  /** Waits for the vCPU of `cpu` to exist: its descriptor, -1 when the VM stops first. */
  waitForDescriptor(cpu: number): number {
    while (!this.stopping && this.descriptor(cpu) < 0) Atomics.wait(this.words, word(cpu, DESCRIPTOR), 0, 1000);
    return this.stopping ? -1 : this.descriptor(cpu);
  }

  /** False: the VM stops, and its descriptors must not be touched. True: they stay until leave(). */
  enter(): boolean {
    Atomics.add(this.words, USERS, 1);
    if (!this.stopping) return true;
    this.leave();
    return false;
  }

  leave(): void {
    Atomics.sub(this.words, USERS, 1);
    Atomics.notify(this.words, USERS);
  }

  /** Waits until all who entered have left, which they do once the VM stops. */
  awaitAllLeft(): void {
    for (let users = Atomics.load(this.words, USERS); users > 0; users = Atomics.load(this.words, USERS)) {
      Atomics.wait(this.words, USERS, users, 1000);
    }
  }

  /**
   * The machine's thread sends so many bytes of output. It waits while too much of it has not been shown: a guest that
   * prints faster than its user's terminal is as slow as that, and fills no memory.
   */
  sendOutput(bytes: number): void {
    const { words } = this;
    Atomics.add(words, OUTPUT, bytes);
    for (let waiting = Atomics.load(words, OUTPUT); waiting > OUTPUT_MAX; waiting = Atomics.load(words, OUTPUT)) {
      if (this.stopping) return;
      Atomics.wait(words, OUTPUT, waiting, 1000);
    }
  }

  /** The main thread has shown so many. */
  outputShown(bytes: number): void {
    Atomics.sub(this.words, OUTPUT, bytes);
    Atomics.notify(this.words, OUTPUT);
  }

  setThread(cpu: number, thread: number): void {
    Atomics.store(this.words, word(cpu, THREAD), thread);
  }

  /** 0 before the thread has told. */
  thread(cpu: number): number {
    return Atomics.load(this.words, word(cpu, THREAD));
  }

  /** Puts a letter into the box of `cpu`; the machine's thread is to be woken next. */
  post(cpu: number, { kind, write, width, address, lo, hi }: Letter): void {
    const { words } = this;
    const at = word(cpu, 0);
    words[at + KIND] = kind;
    words[at + WRITE] = write ? 1 : 0;
    words[at + WIDTH] = width;
    words[at + ADDRESS_LO] = address;
    words[at + ADDRESS_HI] = Math.floor(address / 0x1_0000_0000);
    words[at + LO] = lo;
    words[at + HI] = hi;
    Atomics.store(words, at + STATE, POSTED);
    Atomics.or(words, POSTED_BOXES, 1 << cpu);
  }

  /** Waits for the answer, which goes into the letter. False: the VM stops. */
  awaitAnswer(cpu: number, letter: Letter): boolean {
    const { words } = this;
    const at = word(cpu, 0);
    while (Atomics.load(words, at + STATE) === POSTED) {
      if (this.stopping) return false;
      Atomics.wait(words, at + STATE, POSTED, 1000);
    }
    if (Atomics.load(words, at + STATE) !== ANSWERED) return false;
    Atomics.store(words, at + STATE, EMPTY);
    letter.lo = words[at + LO]! >>> 0;
    letter.hi = words[at + HI]! >>> 0;
    return true;
  }

  /** Boxes with letters, one bit a CPU, which the caller now has to answer. */
  takePosted(): number {
    return Atomics.exchange(this.words, POSTED_BOXES, 0) >>> 0;
  }

  read(cpu: number, letter: Letter): void {
    const { words } = this;
    const at = word(cpu, 0);
    letter.kind = words[at + KIND] as LetterKind;
    letter.write = words[at + WRITE] !== 0;
    letter.width = words[at + WIDTH] as Letter["width"];
    letter.address = (words[at + ADDRESS_HI]! >>> 0) * 0x1_0000_0000 + (words[at + ADDRESS_LO]! >>> 0);
    letter.lo = words[at + LO]! >>> 0;
    letter.hi = words[at + HI]! >>> 0;
  }

  answer(cpu: number, lo: number, hi: number): void {
    const { words } = this;
    const at = word(cpu, 0);
    words[at + LO] = lo;
    words[at + HI] = hi;
    if (Atomics.compareExchange(words, at + STATE, POSTED, ANSWERED) === POSTED) Atomics.notify(words, at + STATE);
  }
}

function word(cpu: number, field: number): number {
  return HEAD_WORDS + cpu * CPU_WORDS + field;
}
