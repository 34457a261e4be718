// Sets a real machine to the state that every recorded case begins in: module parameters as they were, no virtual
// functions, the recorded driver on every device, registers of QEMU's edu devices zeroed and their interrupts taken back.
// Sources: README.md beside the recordings; QEMU docs/specs/edu.rst for the registers.
// Invariants: nothing of the process that does this stays open or mapped.

import { type Host, MAP_SHARED, type Mapping, O_RDWR, PROT_READ, PROT_WRITE } from "@minivmm/host";
import { processCalls } from "@minivmm/host/real";
import { ConformanceError } from "../error.ts";
import type { RecordedDevice, RecordedMachine } from "../machine.ts";
import { textOf } from "./real-fit.ts";

const PCI = "/sys/bus/pci";
const MODULES = ["vfio", "vfio_pci", "vfio_pci_core", "vfio_iommu_type1"];
const VFIO_PCI = "vfio-pci";

/** The parameters of VFIO's modules that can be written, by path. */
export function moduleParameters(host: Host): Map<string, string> {
  const paths = MODULES.flatMap((module) => {
    const folder = `/sys/module/${module}/parameters`;
    const names = host.readdir(folder);
    return typeof names === "number" ? [] : names.map((name) => `${folder}/${name}`);
  });
  const values = paths.map((path): [string, string] => [path, textOf(host, path)]);
  return new Map(values.filter(([path, value]) => host.writeFile(path, value) >= 0));
}

/** Throws ConformanceError MACHINE_UNSUITABLE for a device that does not take its driver. */
export function setBack(host: Host, { devices }: RecordedMachine, parameters: ReadonlyMap<string, string>): void {
  for (const [path, value] of parameters) if (textOf(host, path) !== value) host.writeFile(path, value);
  for (const { bdf } of devices) {
    const count = `${PCI}/devices/${bdf}/sriov_numvfs`;
    if (host.exists(count) && textOf(host, count) !== "0") host.writeFile(count, "0");
  }
  for (const device of devices) bindDefault(host, device);
  const edus = devices.filter(({ bdf }) => isEdu(host, bdf));
  for (const { bdf } of edus) quieten(host, bdf);
}

function bindDefault(host: Host, { name, bdf, driver }: RecordedDevice): void {
  const at = `${PCI}/devices/${bdf}`;
  const bound = (): string | null => {
    const link = host.readlink(`${at}/driver`);
    return typeof link === "string" ? (link.split("/").at(-1) ?? null) : null;
  };
  const override = driver === VFIO_PCI ? VFIO_PCI : "";
  const overridden = textOf(host, `${at}/driver_override`).replace("(null)", "");
  if (overridden !== override) host.writeFile(`${at}/driver_override`, override || "\n");
  if (bound() === driver) return;
  if (bound() !== null) host.writeFile(`${at}/driver/unbind`, bdf);
  const ret = driver === null ? 0 : host.writeFile(`${PCI}/drivers/${driver}/bind`, bdf);
  if (bound() === driver) return;
  throw new ConformanceError(`${name} (${bdf}) does not take the driver ${driver ?? "none"}`, {
    code: "MACHINE_UNSUITABLE",
    ...(ret < 0 ? { errno: -ret } : {}),
    details: { device: name, driver },
    hint: "Look at the kernel's log of this machine.",
  });
}

const EDU = { vendor: "0x1234", device: "0x11e8" };
const EDU_BYTES = 0x1000;
/** Reads as the complement of what was written last; 0 at reset. */
const LIVENESS = 0x04;
const FACTORIAL = 0x08;
/** Its factorial is a multiple of 2^32: the only way back to what the register is at reset. */
const VANISHING = 34;
const STATUS = 0x20;
const COMPUTING = 1;
const TRIES = 1000;
const INTERRUPT_STATUS = 0x24;
const ACKNOWLEDGE = 0x64;
/** Source, destination, count: 64 bits each. */
const DMA_REGISTERS = [0x80, 0x84, 0x88, 0x8c, 0x90, 0x94];
const COMMAND = 4;
const MEMORY = 2;

function isEdu(host: Host, bdf: string): boolean {
  const is = (file: keyof typeof EDU): boolean => textOf(host, `${PCI}/devices/${bdf}/${file}`) === EDU[file];
  return is("vendor") && is("device");
}

/** Through the resource file, with memory decoding on meanwhile. The device is free, so nobody else turns it off. */
function quieten(host: Host, bdf: string): void {
  const config = host.open(`${PCI}/devices/${bdf}/config`, O_RDWR);
  const bar = host.open(`${PCI}/devices/${bdf}/resource0`, O_RDWR);
  const command = new Uint8Array(2);
  host.pread(config, command, COMMAND);
  host.pwrite(config, Uint8Array.of((command[0] as number) | MEMORY, command[1] as number), COMMAND);
  const mapping = host.mmap({ length: EDU_BYTES, prot: PROT_READ | PROT_WRITE, flags: MAP_SHARED, fd: bar });
  if (typeof mapping !== "number") {
    zeroRegisters(mapping);
    mapping.close();
  }
  host.pwrite(config, command, COMMAND);
  host.close(bar);
  host.close(config);
}

function zeroRegisters(registers: Mapping): void {
  if (registers.load(FACTORIAL, 4) !== 0) {
    registers.store(FACTORIAL, 4, VANISHING);
    for (let tries = 0; tries < TRIES && (registers.load(STATUS, 4) & COMPUTING) !== 0; tries++)
      processCalls().sleep(1);
  }
  registers.store(STATUS, 4, 0);
  registers.store(LIVENESS, 4, 0xffff_ffff);
  for (const register of DMA_REGISTERS) registers.store(register, 4, 0);
  registers.store(ACKNOWLEDGE, 4, registers.load(INTERRUPT_STATUS, 4));
}
