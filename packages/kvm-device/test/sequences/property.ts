// The property of sequences with KVM: reference and model agree, what VMs count is what is registered, and after the last
// close no VM, reference or user is left.
import { ModelVm } from "@minivmm/kvm/model";
import fc from "fast-check";
import { agree } from "../../../vfio-core/test/sequences/agree.ts";
import type { Kernel } from "../../../vfio-core/test/sequences/calls.ts";
import { drivers, groups, lifetimes } from "../../../vfio-core/test/sequences/commands.ts";
import { Invariants } from "../../../vfio-core/test/sequences/invariants.ts";
import { assertCommands, describeHost, type SequenceOptions } from "../../../vfio-core/test/sequences/property.ts";
import * as steps from "../../../vfio-core/test/sequences/step.ts";
import { type Command, type Fits, nothing, pick, times } from "../../../vfio-core/test/sequences/step.ts";
import type { KvmCalls } from "./calls.ts";
import { ModelledKvm } from "./modelled-kvm.ts";
import { PlainKvm } from "./plain-kvm.ts";

type KvmCommand = fc.Arbitrary<Command<KvmCalls>>;

const named =
  (name: string): Fits =>
  (behind) =>
    behind.kind === "foreign" && behind.name === name;
const isSystem = named("kvm");
const isVm = named("kvm-vm");
const isVfio = named("kvm-vfio");
const isUseful: Fits = ({ kind }) => kind === "group" || kind === "device";

const on = <P>(...args: Parameters<typeof steps.on<P, KvmCalls>>) => steps.on<P, KvmCalls>(...args);

/** The whole way to a device of a VM, with the groups of the process in it. */
const flow: KvmCommand = steps.step<readonly [number, number], KvmCalls>(
  "kvm flow",
  fc.tuple(pick, pick),
  (plain, [n, which]) => {
    const p = steps.processAt(plain, n);
    const fds = [...(plain.processes[p]?.fds ?? [])];
    const last = (fits: Fits) => fds.filter(([, { behind }]) => fits(behind)).at(-1)?.[0] ?? -1;
    return [
      ["openKvm", p],
      ["createVm", p, last(isSystem)],
      ["createDevice", p, last(isVm), { type: 4, flags: 0 }],
      ["add", p, last(isVfio), steps.descriptorOf(plain, p, isUseful, which)],
    ];
  },
);

const kvm: KvmCommand[] = [
  ...times(4, flow),
  on("createVm", isSystem, nothing, (_, at) => ["createVm", ...at]),
  on("createDevice", isVm, fc.constantFrom([4, 0], [4, 0], [4, 1], [99, 0]), (_, at, [type = 0, flags = 0]) => [
    "createDevice",
    ...at,
    { type, flags },
  ]),
  ...times(
    5,
    on("add", isVfio, pick, (plain, at, n) => ["add", ...at, steps.descriptorOf(plain, at[0], isUseful, n)]),
  ),
  ...times(
    3,
    on("remove", isVfio, pick, (plain, at, n) => ["remove", ...at, steps.descriptorOf(plain, at[0], isUseful, n)]),
  ),
  on("hasAttribute", isVfio, fc.tuple(fc.nat(2), fc.nat(4)), (_, at, [group, attr]) => [
    "hasAttribute",
    ...at,
    group,
    attr,
  ]),
  on("setUnreadable", isVfio, fc.tuple(fc.nat(2), fc.nat(4)), (_, at, [group, attr]) => [
    "setUnreadable",
    ...at,
    group,
    attr,
  ]),
  on("close", isVfio, nothing, (_, at) => ["close", ...at]),
  on("close", isVm, nothing, (_, at) => ["close", ...at]),
  on("dup", isVfio, nothing, (_, at) => ["dup", ...at]),
];

class KvmInvariants extends Invariants {
  readonly #plain: PlainKvm;
  readonly #real: ModelledKvm;

  constructor(plain: PlainKvm, real: ModelledKvm) {
    super(plain, real);
    this.#plain = plain;
    this.#real = real;
  }

  override check(): void {
    super.check();
    const { kvm, host } = this.#real;
    const alive = this.#plain.vms.filter((each) => each.alive);
    agree("virtual machines", kvm.vms.size, alive.length);
    for (const vm of alive) {
      const model = vm.file && this.sameAs(vm.file)?.ops;
      if (!(model instanceof ModelVm)) throw new Error("a VM's file is no VM");
      const count = vm.device?.entries.length;
      agree("registered files", this.#real.deviceOf(model)?.size, count);
      agree("assigned devices", model.assignedDeviceCount, count ?? 0);
      agree("users of non-coherent DMA", model.noncoherentDmaCount, vm.noncoherent);
    }
    for (const group of this.#plain.groups.values()) {
      const file = this.#plain.vmOf.get(group)?.file;
      const wanted = file ? this.sameAs(file) : null;
      agree(`group ${group.id} is its VM's`, host.core.groups.get(group.id)?.kvm === wanted, true);
    }
  }

  override end(): void {
    super.end();
    agree("virtual machines", this.#real.kvm.vms.size, 0);
  }
}

/** Sequences with several VMs on a host whose IOMMU makes all DMA coherent, or not (`snoops`). */
export function assertKvmSequences(kernel: Kernel, snoops: boolean, options: SequenceOptions): void {
  const around = kernel === "4.12" ? [...lifetimes, ...groups] : [...lifetimes, ...groups, ...drivers];
  assertCommands<KvmCalls>([...around, ...kvm], options, () => {
    const real = new ModelledKvm(kernel, { snoopControl: snoops });
    const model = new PlainKvm(describeHost(kernel, real));
    return { model, kernel: real, invariants: new KvmInvariants(model, real) };
  });
}
