// What surrounds the PCI functions of a host, in the description's words: address windows, interrupt wiring, what
// firmware and the kernel left in registers. Plain data, checked here.
import { z } from "zod";

const range = z.strictObject({ base: z.number().int().nonnegative(), size: z.number().int().positive() });

/** Windows of a bridge or of a host bridge: bus address of the first byte, and bytes. */
export const windowsDescription = z.strictObject({
  memory32: range.optional(),
  /** Prefetchable. */
  memory64: range.optional(),
  io: range.optional(),
});

export type WindowsDescription = z.infer<typeof windowsDescription>;

/** Forced addresses by index: BARs 0 to 5, the ROM 6, from 7 on those that the virtual functions share. */
export const barsDescription = z.record(
  z.string().regex(/^([0-9]|1[0-2])$/),
  z.strictObject({ address: z.number().int().nonnegative() }),
);

/**
 * An expansion ROM that firmware left at 0xc0000: for which function it is, the length of its image, and how much of it
 * stayed resident, in blocks of 512 bytes.
 */
export const shadowRomDescription = z.strictObject({
  vendor: z.number().int().min(0).max(0xffff),
  device: z.number().int().min(0).max(0xffff),
  class: z.number().int().min(0).max(0xffffff),
  blocks: z.number().int().min(1).max(255),
  resident: z.number().int().min(1).max(255),
});

export type ShadowRomDescription = z.infer<typeof shadowRomDescription>;

export const interruptsDescription = z.strictObject({
  /** Device numbers of the root bus, the first link's global system interrupt, and whether pins turn by device number. */
  slots: z.array(
    z.strictObject({
      devices: z.tuple([z.number().int().min(0).max(31), z.number().int().min(0).max(31)]),
      rotate: z.boolean(),
      gsi: z.number().int().nonnegative(),
    }),
  ),
  /** Interrupt lines that firmware writes, by link. */
  lines: z.array(z.number().int().min(0).max(255)),
});

/** What is the same for all functions of a domain. */
export const domainPlatform = {
  windows: windowsDescription.optional(),
  interrupts: interruptsDescription.optional(),
  /** What firmware left in COMMAND of every function. */
  command: z.number().int().min(0).max(0xffff).optional(),
  /** The kernel's port drivers have started; Linux interrupt number of their first message. */
  ports: z.strictObject({ firstIrq: z.number().int().positive() }).optional(),
};
