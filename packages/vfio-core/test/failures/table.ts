// What the tables of failures share: a row, and small helpers on modelled hosts.
import type { ModelKernel, ModelProcess } from "@minivmm/host/model";
import * as vfio from "../../src/index.ts";

export interface Failure {
  readonly what: string;
  /** The host, and what fails on it. */
  readonly make: () => () => unknown;
  readonly code: string;
  /** Absent: found out without a refusal of the kernel. */
  readonly errno?: number;
  /** Pieces of the message. */
  readonly says: readonly (string | RegExp)[];
  /** Pieces of the remedy. */
  readonly helps: readonly (string | RegExp)[];
  readonly details?: object;
}

export const MIB = 2 ** 20;
export const DEVICES = "/sys/bus/pci/devices";

/** A file of the host with a text. */
export const put = ({ sysfs }: ModelKernel, path: string, text: string) => sysfs.file(path, { read: () => text });

export const groupOf = (process: ModelProcess, bdf: string) =>
  vfio.VfioGroup.open(process, vfio.iommuGroupOf(process, bdf));
