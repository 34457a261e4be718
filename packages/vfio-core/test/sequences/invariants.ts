// What must hold between the reference and the modelled kernel after every step, and at the end of everything.
import { EventFd, type OpenFile } from "@minivmm/host/model";
import { NO_IRQ } from "@minivmm/pci";
import { Type1Instance, VfioContainer } from "../../src/model/index.ts";
import { agree, agreeList } from "./agree.ts";
import { ENTRIES, PAGE, PAGES } from "./calls.ts";
import type { ModelledKernel } from "./modelled.ts";
import type { PlainKernel } from "./plain-kernel.ts";
import type { Behind, PlainFile } from "./plain-objects.ts";

const IRQ_NONE = 5;

export class Invariants {
  readonly #plain: PlainKernel;
  readonly #real: ModelledKernel;
  /** Files of both sides that are the same file. */
  readonly #same = new Map<PlainFile, OpenFile>();

  constructor(plain: PlainKernel, real: ModelledKernel) {
    this.#plain = plain;
    this.#real = real;
  }

  check(): void {
    this.#descriptors();
    for (const [file, real] of this.#same) {
      agree(`references on a ${file.behind.kind} file`, real.refs, file.refs);
      this.#behind(file.behind, real);
    }
    this.#groups();
    this.#devices();
    for (const [p, process] of this.#plain.processes.entries()) {
      const locked = this.#real.processes[p]?.mm.lockedPages;
      agree(`locked pages of process ${p}`, locked, this.#plain.type1.locked(process));
    }
  }

  /** Everybody exits, in-kernel users let go: the state of before the first call. */
  end(): void {
    const { host, processes, data, listeners } = this.#real;
    const memory = processes.map(({ mm }) => mm.virtToPhys(data));
    for (const side of [this.#plain, this.#real]) {
      while (side.external.length > 0) side.externalPut(0);
    }
    for (const [p, { alive }] of this.#plain.processes.entries()) {
      if (!alive) continue;
      this.#plain.exit(p);
      this.#real.exit(p);
      this.check();
    }
    for (const [{ behind }, file] of this.#same) agree(`references on a ${behind.kind} file`, file.refs, 0);
    for (const { id, opened, openedFile, container, containerUsers } of host.core.groups.values()) {
      agreeList(`group ${id}`, [opened, openedFile, container, containerUsers], [false, null, null, 0]);
    }
    for (const { name, group, locked, device } of host.topology.functions) {
      agreeList(name, [group?.owner ?? null, group?.domain ?? null, locked], [null, null, false]);
      agree(`interrupts of ${name}`, device.irq, NO_IRQ);
    }
    for (const { name, openCount, removing } of host.core.devices.values()) {
      agreeList(name, [openCount, removing], [0, false]);
    }
    for (const { mm } of processes) agree("locked pages", mm.lockedPages, 0);
    for (const { live } of listeners.values()) agree("kernel users of an eventfd", live, 0);
    // A leaked pin would keep memory of a process that has gone.
    for (const at of memory) if (at >= 0) agree("memory", host.kernel.physical.resolve(at, PAGES * PAGE), null);
  }

  /** The model's file of a reference's file that has, or had, a descriptor. */
  protected sameAs(file: PlainFile): OpenFile | undefined {
    return this.#same.get(file);
  }

  #descriptors(): void {
    for (const [p, { alive, fds }] of this.#plain.processes.entries()) {
      if (!alive) continue;
      const numbers = [...fds.keys()].sort((a, b) => a - b);
      agreeList(`descriptors of process ${p}`, this.#real.processes[p]?.fds.list() ?? [], numbers);
      for (const [fd, file] of fds) {
        const real = this.#real.fileOf(p, fd) as OpenFile;
        const known = this.#same.get(file);
        if (!known) this.#same.set(file, real);
        else agree(`descriptor ${fd} of process ${p} is the file that it was`, real === known, true);
      }
    }
  }

  #behind(behind: Behind, real: OpenFile): void {
    if (behind.kind === "eventfd") {
      const event = EventFd.from(real) as EventFd;
      agree("count of an eventfd", event.count, behind.event.count);
      agree("kernel users of an eventfd", this.#real.listeners.get(event)?.live, behind.event.waiters);
    } else if (behind.kind === "container" && real.ops instanceof VfioContainer) {
      const { instance, groups } = real.ops;
      const { container } = behind;
      agree("groups of a container", groups.length, container.groups.length);
      agree("a container has an IOMMU", instance !== null, container.type !== 0);
      if (!(instance instanceof Type1Instance)) return;
      const { mappings, dmaAvail, vaddrInvalid, dirtyTracking } = instance.state;
      const invalid = container.mappings.filter((each) => each.vaddrInvalid).length;
      const count = container.mappings.length;
      const wanted = [count, ENTRIES - count, invalid, container.tracking];
      agreeList("mappings of a container", [mappings.size, dmaAvail, vaddrInvalid, dirtyTracking], wanted);
    }
  }

  #groups(): void {
    const { core, topology } = this.#real.host;
    agree("groups with a device", core.groups.size, this.#plain.groups.size);
    for (const { id, file, users, container, devices } of this.#plain.groups.values()) {
      const real = core.groups.get(id);
      const found = [real?.opened, real?.containerUsers, real?.container != null, real?.devices.length];
      agreeList(`group ${id}`, found, [file !== null, users, container !== null, devices.length]);
    }
    for (const { group } of topology.functions) {
      if (!group) continue;
      const registered = this.#plain.groups.get(group.id);
      agree(`somebody owns the DMA of group ${group.id}`, group.owner !== null, this.#plain.owners.has(group.id));
      // One that lost its last device is out of its container.
      const translated = (registered?.container?.type ?? 0) !== 0;
      agree(`DMA of group ${group.id} is translated`, group.domain !== null, translated);
    }
  }

  #devices(): void {
    const { core, topology } = this.#real.host;
    for (const { bdf, driver, device, waiting } of this.#plain.description.functions) {
      const real = core.device(bdf);
      agree(`driver of ${bdf}`, topology.get(bdf).driver, driver);
      agree(`open files of ${bdf}`, real?.openCount, device?.open);
      agree(`${bdf} is being unbound`, real?.removing ?? false, waiting !== null);
      if (!real || !device || device.open === 0) continue;
      const { mode, ioeventfds } = device.irqs;
      agree(`interrupt index of ${bdf}`, real.state.irqMode, mode < 0 ? IRQ_NONE : mode);
      agree(`ioeventfds of ${bdf}`, real.state.ioeventfds.count, ioeventfds.size);
    }
  }
}
