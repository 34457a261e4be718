// From the plain description to functions on numbered buses. Bus numbers go depth first, as firmware and the kernel
// assign them; a bus is filled completely before its bridges are descended.
// The kernel probes reset methods while a function is being added, before it is on its bus and before a bridge has a bus
// below: so the first function of a shared bus, and every bridge, may list "bus" although a reset will refuse it later.
import { makeBdf } from "../bdf.ts";
import { BridgeDevice } from "../bridge.ts";
import { trainLink } from "../caps/pcie.ts";
import type { PciDevice } from "../device.ts";
import { descriptionError, PciError } from "../error.ts";
import { configureAri, initIov } from "../iov/physical-function.ts";
import * as regs from "../registers.ts";
import { resetSubordinates } from "../reset/hardware.ts";
import { probeResetMethods } from "../reset/methods.ts";
import type {
  BarPlacement,
  DeviceFactories,
  DomainDescription,
  FunctionDescription,
  TopologyDescription,
} from "./description.ts";
import type { PciDomain } from "./graph.ts";
import { PciBus, PciFunction } from "./graph.ts";

export type Placements = ReadonlyMap<PciFunction, Readonly<Record<string, BarPlacement>>>;

export interface Enumeration {
  readonly domains: PciDomain[];
  readonly buses: PciBus[];
  readonly functions: PciFunction[];
  readonly drivers: Map<PciFunction, string>;
  readonly placements: Map<PciFunction, Readonly<Record<string, BarPlacement>>>;
  /** What each function was described as. */
  readonly origins: Map<PciFunction, FunctionDescription>;
}

const DEFAULT_WINDOWS = {
  memory32: { base: 0xc000_0000, size: 0x3000_0000 },
  memory64: { base: 0x40_0000_0000, size: 0x40_0000_0000 },
  io: { base: 0x1000, size: 0xf000 },
} as const;

export function enumerate(description: TopologyDescription, models: DeviceFactories): Enumeration {
  const result: Enumeration = {
    domains: [],
    buses: [],
    functions: [],
    drivers: new Map(),
    placements: new Map(),
    origins: new Map(),
  };
  description.domains.forEach((each, index) => {
    const number = each.domain ?? index;
    if (result.domains.some((domain) => domain.number === number)) {
      throw descriptionError(`PCI domain ${number} is described twice`, "give each domain its own number");
    }
    scanDomain(each, number, description.barAlignment ?? 4096, models, result);
  });
  return result;
}

function scanDomain(
  description: DomainDescription,
  number: number,
  barAlignment: number,
  models: DeviceFactories,
  result: Enumeration,
): void {
  const windows = {
    memory32: description.memory32 ?? DEFAULT_WINDOWS.memory32,
    memory64: description.memory64 ?? DEFAULT_WINDOWS.memory64,
    io: description.io ?? DEFAULT_WINDOWS.io,
  };
  const domain = { number, windows, barAlignment } as { -readonly [K in keyof PciDomain]: PciDomain[K] };
  domain.root = new PciBus(domain, description.rootBus ?? 0, null);
  result.domains.push(domain);
  const scan = new Scan(models, result);
  scan.bus(domain.root, description.devices);
}

class Scan {
  readonly #models: DeviceFactories;
  readonly #result: Enumeration;
  /** Ports whose slot a hotplug driver serves. */
  readonly #hotplug = new Set<PciFunction>();

  constructor(models: DeviceFactories, result: Enumeration) {
    this.#models = models;
    this.#result = result;
  }

  /** Fill a bus, then descend. Returns with `bus.subordinate` final. */
  bus(bus: PciBus, descriptions: readonly FunctionDescription[]): void {
    this.#result.buses.push(bus);
    const placed = descriptions.map((each) => ({ each, place: parsePlace(each.at) }));
    placed.sort((a, b) => a.place.device - b.place.device || a.place.fn - b.place.fn);
    const bridges: [PciFunction, FunctionDescription][] = [];
    for (const { each, place } of placed) {
      const shared = placed.some((other) => other.place.device === place.device && other.place.fn !== place.fn);
      const fn = this.#add(bus, place, each, shared);
      if (each.bridge) bridges.push([fn, each]);
    }
    for (const [fn, each] of bridges) this.#descend(fn, each);
  }

  #add(bus: PciBus, place: Place, description: FunctionDescription, shared: boolean): PciFunction {
    const bdf = makeBdf(bus.domain.number, bus.number, place.device, place.fn);
    const device = this.#model(description);
    const fn = new PciFunction(bus, bdf, device);
    if (bus.functions.some((other) => other.devfn === fn.devfn)) {
      throw new PciError(`two functions at ${fn.name}`, {
        code: "BDF_DUPLICATE",
        details: { bdf: fn.name },
        hint: "change `at` of one of them",
      });
    }
    if (description.multifunction ?? (shared && place.fn === 0)) {
      const type = device.config.read(regs.PCI_HEADER_TYPE, 1);
      device.config.define(regs.PCI_HEADER_TYPE, 1, { value: type | regs.PCI_HEADER_TYPE_MFD });
    }
    const slot = bus.bridge;
    fn.hotplugSlot = slot !== null && this.#hotplug.has(slot);
    fn.resetMethods = probeResetMethods(fn);
    configureAri(fn);
    initIov(fn);
    bus.functions.push(fn);
    this.#result.functions.push(fn);
    this.#result.origins.set(fn, description);
    if (description.driver) this.#result.drivers.set(fn, description.driver);
    if (description.bars) this.#result.placements.set(fn, description.bars);
    return fn;
  }

  #model(description: FunctionDescription): PciDevice {
    const { device, model, bridge, options = {} } = description;
    if (device) return device;
    if (bridge) {
      const { acs, slot, hotplug } = description;
      return new BridgeDevice({
        ...description.bridgeOptions,
        kind: bridge,
        ...(acs !== undefined && { acs }),
        ...(slot !== undefined && { slot }),
        ...(hotplug !== undefined && { hotplug }),
      });
    }
    const factory = model === undefined ? undefined : this.#models[model];
    if (factory) return factory(options);
    throw descriptionError(
      model === undefined
        ? `function ${description.at} says neither model, device nor bridge`
        : `unknown device model "${model}"`,
      `known models: ${Object.keys(this.#models).join(", ") || "none were given"}`,
    );
  }

  #descend(fn: PciFunction, description: FunctionDescription): void {
    const { domain } = fn.bus;
    const next =
      Math.max(...this.#result.buses.filter((bus) => bus.domain === domain).map((bus) => bus.subordinate)) + 1;
    const number = description.secondaryBus ?? next;
    if (number < next || number > 0xff) {
      throw descriptionError(
        `bus 0x${number.toString(16)} behind ${fn.name} is not free`,
        `the next free bus is 0x${next.toString(16)}`,
      );
    }
    if (description.hotplug) this.#hotplug.add(fn);
    if (description.windows) fn.windows = { ...description.windows, fixed: true };
    const bus = new PciBus(domain, number, fn);
    fn.secondary = bus;
    this.bus(bus, description.children ?? []);
    trainLink(fn.device, bus.functions[0]?.device ?? null);
    const below = this.#result.buses.filter((other) => other.domain === domain && other.number >= number);
    bus.subordinate = Math.max(...below.map((other) => other.subordinate)) + (description.reserveBuses ?? 0);
    programBusNumbers(fn, bus);
    if (fn.device instanceof BridgeDevice) fn.device.onSecondaryReset = () => resetSubordinates(bus);
  }
}

function programBusNumbers(fn: PciFunction, bus: PciBus): void {
  fn.config.write(regs.PCI_PRIMARY_BUS, 1, fn.bus.number);
  fn.config.write(regs.PCI_SECONDARY_BUS, 1, bus.number);
  fn.config.write(regs.PCI_SUBORDINATE_BUS, 1, bus.subordinate);
}

interface Place {
  readonly device: number;
  readonly fn: number;
}

function parsePlace(at: string): Place {
  const match = /^([0-9a-fA-F]{1,2})\.([0-7])$/.exec(at);
  if (match) return { device: parseInt(match[1]!, 16), fn: parseInt(match[2]!, 16) };
  throw descriptionError(`"${at}" is not a place on a bus`, "write device.function in hexadecimal, for example 1c.0");
}
