// A command/response queue (CRQ): 16-byte messages that the platform puts into a ring in the guest's memory, reached
// through the device's TCE table. The first byte of an element says whether it is taken; the guest clears it.
// Source: PAPR 2.7 section 17.2.3.1 (Reliable Command/Response Transport); limits as QEMU 7.2 hw/ppc/spapr_vio.c.
// Invariants: messages keep their order and none is lost: one that finds no free element waits until a later hypercall
// finds one; at most WAITING_MAX wait, and whoever would cause another is told to come again. What is mapped where the
// ring lies is looked at for each message and not when it is registered, because the guest may change it at any time.

import { H_PARAMETER, H_RESOURCE, H_SUCCESS } from "@minivmm/kvm";
import type { DmaPort } from "@minivmm/pci";

export const CRQ_ELEMENT_BYTES = 16;
/** Messages that may wait for a free element. */
export const WAITING_MAX = 64;
const QUEUE_MIN = 0x1000;
const QUEUE_MAX = 0x1000_0000;
const QUEUE_ALIGNMENT = 0x1000;

export class Crq {
  /** Messages put into the ring since the machine was made. */
  posted = 0;
  /** Called for each message that went into the ring. */
  onPosted: () => void = () => {};
  private readonly dma: DmaPort;
  private readonly windowBytes: number;
  private address = 0;
  private bytes = 0;
  private next = 0;
  private readonly waiting = new Uint8Array(WAITING_MAX * CRQ_ELEMENT_BYTES);
  private head = 0;
  private count = 0;
  private readonly header = new Uint8Array(1);

  /** `windowBytes`: size of the device's DMA window, which begins at bus address 0. */
  constructor(dma: DmaPort, windowBytes: number) {
    this.dma = dma;
    this.windowBytes = windowBytes;
  }

  get registered(): boolean {
    return this.bytes > 0;
  }

  /** Whether another message could wait if it had to. */
  get accepting(): boolean {
    return this.count < WAITING_MAX;
  }

  /** Messages that wait for room. */
  get waitingCount(): number {
    return this.count;
  }

  /** H_REG_CRQ: `address` and `bytes` as the guest gave them, -1 for numbers of 2^53 and more. Returns the call's code. */
  register(address: number, bytes: number): number {
    if (bytes < QUEUE_MIN || bytes > QUEUE_MAX || bytes % QUEUE_ALIGNMENT !== 0) return H_PARAMETER;
    if (address < 0 || address % QUEUE_ALIGNMENT !== 0 || address + bytes > this.windowBytes) return H_PARAMETER;
    if (this.registered) return H_RESOURCE;
    this.address = address;
    this.bytes = bytes;
    this.next = 0;
    return H_SUCCESS;
  }

  /** H_FREE_CRQ, and what a reset does: no ring, nothing waits. */
  free(): void {
    this.address = 0;
    this.bytes = 0;
    this.next = 0;
    this.count = 0;
  }

  /** Sends an element (16 bytes, the first not 0). The caller has seen that the queue is accepting. */
  post(element: Uint8Array): void {
    if (!this.registered || !this.accepting) return;
    this.waiting.set(element, ((this.head + this.count) % WAITING_MAX) * CRQ_ELEMENT_BYTES);
    this.count++;
    this.flush();
  }

  /** Moves waiting messages into the ring while there is room. */
  flush(): void {
    while (this.count > 0 && this.put(this.head * CRQ_ELEMENT_BYTES)) {
      this.head = (this.head + 1) % WAITING_MAX;
      this.count--;
      this.posted++;
      this.onPosted();
    }
  }

  /** False: the next element is taken, or cannot be reached. */
  private put(from: number): boolean {
    const { dma, waiting } = this;
    const to = this.address + this.next;
    if (!dma.read(0, to, this.header) || this.header[0] !== 0) return false;
    // The half with the valid byte comes last: a guest on another CPU must not see half a message.
    if (!dma.write(0, to + 8, waiting.subarray(from + 8, from + 16))) return false;
    if (!dma.write(0, to, waiting.subarray(from, from + 8))) return false;
    this.next = (this.next + CRQ_ELEMENT_BYTES) % this.bytes;
    return true;
  }
}
