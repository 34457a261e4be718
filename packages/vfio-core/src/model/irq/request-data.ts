/** The tail of a vfio_irq_set: descriptors as s32. */

/** Element `i` of DATA_EVENTFD. */
export function fdAt(data: Uint8Array, i: number): number {
  return new DataView(data.buffer, data.byteOffset).getInt32(4 * i, true);
}

export function firstFd(data: Uint8Array): number {
  return fdAt(data, 0);
}
