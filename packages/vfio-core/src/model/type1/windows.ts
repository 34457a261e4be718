/**
 * The IOVA ranges that may be mapped: what all attached IOMMUs can address, without what is reserved for anybody.
 *
 * Kept as the kernel keeps it, a list that is cut as groups join: when a group leaves a domain that others stay in, the
 * outermost bounds stay where they were. Empty until the first group with an IOMMU; then everything is valid.
 * Pages of 4 KiB, ends excluded. Source: vfio_iommu_aper_*, vfio_iommu_resv_*, vfio_iommu_iova_dma_valid.
 */
import type { ReservedPages } from "./hardware.ts";

export interface IovaWindow {
  readonly start: number;
  readonly end: number;
}

export class IovaWindows {
  #list: IovaWindow[];

  constructor(list: readonly IovaWindow[] = []) {
    this.#list = [...list];
  }

  /** In ascending order. */
  get list(): readonly IovaWindow[] {
    return this.#list;
  }

  copy(): IovaWindows {
    return new IovaWindows(this.#list);
  }

  /** Does [start, end) lie in one window? */
  allows(start: number, end: number): boolean {
    if (this.#list.length === 0) return true;
    for (let i = 0; i < this.#list.length; i++) {
      const window = this.#list[i] as IovaWindow;
      if (start >= window.start && end <= window.end) return true;
    }
    return false;
  }

  /** Would the aperture [start, end) cut off what `mapped` finds, or leave nothing? */
  conflictsWith(start: number, end: number, mapped: (start: number, end: number) => boolean): boolean {
    const first = this.#list[0];
    const last = this.#list[this.#list.length - 1];
    if (!first || !last) return false;
    if (start >= last.end || end <= first.start) return true;
    if (start > first.start && mapped(first.start, start)) return true;
    return end < last.end && mapped(end, last.end);
  }

  /** Cuts to the aperture [start, end), or starts with it. */
  resize(start: number, end: number): void {
    if (this.#list.length === 0) {
      this.#list.push({ start, end });
      return;
    }
    this.#list = this.#list
      .map((window) => ({ start: Math.max(window.start, start), end: Math.min(window.end, end) }))
      .filter((window) => window.start < window.end);
  }

  /** False: nothing is left. */
  exclude(reserved: readonly ReservedPages[]): boolean {
    for (const hole of reserved) {
      this.#list = this.#list.flatMap((window) => {
        if (hole.start >= window.end || hole.end <= window.start) return [window];
        const below = { start: window.start, end: hole.start };
        const above = { start: hole.end, end: window.end };
        return [below, above].filter((part) => part.start < part.end);
      });
    }
    return this.#list.length > 0;
  }

  /** The outermost bounds become [start, end): a domain with a narrower aperture has gone. */
  expand(start: number, end: number): void {
    const first = this.#list[0];
    if (!first) return;
    this.#list[0] = { start, end: first.end };
    const last = this.#list.pop() as IovaWindow;
    this.#list.push({ start: last.start, end });
  }

  /** Forgets all holes and cuts the remaining ones out again. A result of nothing leaves the list as it was. */
  refresh(reserved: readonly ReservedPages[]): void {
    const first = this.#list[0];
    const last = this.#list[this.#list.length - 1];
    if (!first || !last || reserved.length === 0) return;
    const fresh = new IovaWindows([{ start: first.start, end: last.end }]);
    if (fresh.exclude(reserved)) this.#list = fresh.#list;
  }
}
