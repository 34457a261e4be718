// What the reference consists of: counted files, processes, functions with drivers, VFIO groups, containers and devices.
// No behaviour beyond counting; the rules are in the other plain-*.ts files.
import { NOFILE } from "./calls.ts";

export type Behind =
  | { readonly kind: "container"; readonly container: PlainContainer }
  | { readonly kind: "group"; readonly group: PlainGroup }
  | { readonly kind: "device"; readonly device: PlainDevice }
  | { readonly kind: "eventfd"; readonly event: PlainEvent }
  /** What a package above adds: its own name, and what its last reference leads to. */
  | { readonly kind: "foreign"; readonly name: string; released(): void };

/** A struct file: counted, and gone at 0. */
export class PlainFile {
  refs = 1;
  readonly behind: Behind;
  readonly #released: (file: PlainFile) => void;

  constructor(behind: Behind, released: (file: PlainFile) => void) {
    this.behind = behind;
    this.#released = released;
  }

  put(): void {
    if (--this.refs === 0) this.#released(this);
  }
}

export interface PlainEvent {
  count: number;
  /** Kernel users that take the count: unmask eventfds and ioeventfds. */
  waiters: number;
}

/** A stretch of a BAR mapping. */
export interface PlainArea {
  readonly id: number;
  from: number;
  to: number;
  readonly file: PlainFile;
}

export class PlainProcess {
  alive = true;
  readonly fds = new Map<number, PlainFile>();
  areas: PlainArea[] = [];
  /** Successful mmaps of this process and, before its birth, of its parents. */
  mmaps = 0;

  lowestFd(): number {
    for (let fd = 0; fd < NOFILE; fd++) if (!this.fds.has(fd)) return fd;
    return -1;
  }
}

export interface PlainFunction {
  readonly bdf: string;
  /** Its IOMMU group; undefined behind none. */
  readonly group: number;
  driver: string | null;
  device: PlainDevice | null;
  /** While its driver waits to be taken away: what others will do when it is their turn. Null: nobody holds its lock. */
  waiting: (() => void)[] | null;
}

/** A VFIO group. One that lost its last device stays behind its open file as a husk. */
export interface PlainGroup {
  readonly id: number;
  readonly devices: PlainDevice[];
  file: PlainFile | null;
  container: PlainContainer | null;
  users: number;
}

export interface PlainContainer {
  readonly groups: PlainGroup[];
  /** SET_IOMMU's argument, 0 before. */
  type: number;
  mappings: PlainMapping[];
  tracking: boolean;
}

export interface PlainMapping {
  readonly iova: number;
  readonly pages: number;
  owner: PlainProcess;
  vaddrInvalid: boolean;
}

export interface PlainDevice {
  readonly fn: PlainFunction;
  readonly group: PlainGroup;
  /** Open files. */
  open: number;
  /** The group's file, held while open. */
  groupFile: PlainFile | null;
  irqs: PlainIrqs;
}

export interface PlainIrqs {
  /** Active index, -1 for none. */
  mode: number;
  intx: PlainEvent | null;
  unmask: PlainFile | null;
  /** MSI and MSI-X: vectors with an interrupt, and what they signal. */
  allocated: Set<number>;
  triggers: Map<number, PlainEvent>;
  /** Of MSI and MSI-X: vectors asked for when enabled. */
  size: number;
  err: PlainEvent | null;
  req: PlainEvent | null;
  /** By data written. An eventfd whose last descriptor went leaves its entry behind. */
  ioeventfds: Map<number, PlainFile>;
}

export function noIrqs(): PlainIrqs {
  return {
    mode: -1,
    intx: null,
    unmask: null,
    allocated: new Set(),
    triggers: new Map(),
    size: 0,
    err: null,
    req: null,
    ioeventfds: new Map(),
  };
}
