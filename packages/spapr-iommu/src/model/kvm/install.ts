// Adds sPAPR TCE to a modelled KVM: capabilities, the two VM requests, the hypercalls, and the link to VFIO's tables.
// Source: kvm_vm_ioctl_check_extension, kvm_arch_vm_ioctl (arch/powerpc/kvm/powerpc.c), default_hcall_list (book3s_hv.c).
import {
  H_GET_TCE,
  H_PUT_TCE,
  H_PUT_TCE_INDIRECT,
  H_STUFF_TCE,
  H_SUCCESS,
  KVM_CAP_SPAPR_MULTITCE,
  KVM_CAP_SPAPR_TCE,
  KVM_CAP_SPAPR_TCE_64,
  KVM_CAP_SPAPR_TCE_VFIO,
} from "@minivmm/kvm";
import type { HypercallHandler, ModelKvm, Vm } from "@minivmm/kvm/model";
import { kvmTceRequests } from "../../uapi-kvm.ts";
import { TceArena } from "../arena/index.ts";
import type { SpaprTceIommu } from "../driver.ts";
import type { TceCounters } from "./counters.ts";
import { createSpaprTce, createSpaprTce64 } from "./create.ts";
import { TceHypercalls } from "./hypercalls.ts";
import { type TceLink, tceLink } from "./link.ts";
import { type KvmTceProfile, kvmTceProfile } from "./profile.ts";
import { type RealModeRules, TceRealMode } from "./real-mode/index.ts";
import { VmTce } from "./vm-tce.ts";

export interface KvmSpaprTceOptions {
  /** The machine's sPAPR IOMMU; absent where groups have no TCE tables. */
  iommu?: SpaprTceIommu | null;
  /** How guests translate. Default "radix". */
  guestMmu?: "radix" | "hash";
  /**
   * A stage in compiled code in front of the kernel proper, on any profile and, unlike on real kernels, for radix guests
   * too. Default: as the profile's kernel has it, which is 4.12 with hash guests only.
   */
  realMode?: boolean;
}

export interface ModelKvmSpaprTce {
  /** For the KVM-VFIO device; null where the kernel cannot attach hardware tables. */
  readonly link: TceLink | null;
  /** The hypercalls of a VM as methods. */
  hypercalls(vm: Vm): TceHypercalls;
  /** What a VM's hypercalls came to. */
  counters(vm: Vm): TceCounters;
  /**
   * Where compiled code finds the VM's tables: a VM record in the kernel's arena. Asked for again before the guest goes
   * on, it also brings the memory slots there up to date; everything else always is.
   */
  record(vm: Vm): number;
}

interface State {
  readonly tce: VmTce;
  readonly calls: TceHypercalls;
  readonly real: TceRealMode | null;
}

export function installKvmSpaprTce(kvm: ModelKvm, options: KvmSpaprTceOptions = {}): ModelKvmSpaprTce {
  const { kernel } = kvm;
  const { iommu = null } = options;
  const profile = kvmTceProfile(kernel.profile);
  const warn = (message: string): void => void kernel.log.push(message);
  const realMode = realModeOf(profile, kernel.pageSize, options);
  const known = new Map<Vm, State>();
  let lastVm: Vm | null = null;
  let lastCalls: TceHypercalls | null = null;

  function stateOf(vm: Vm): State {
    let state = known.get(vm);
    if (!state) {
      const tce = new VmTce(vm, TceArena.of(kernel), warn);
      const place = realMode && tce.arena.wasmPlace();
      const real = place && new TceRealMode(tce, place, realMode);
      state = { tce, calls: new TceHypercalls(tce, profile), real };
      known.set(vm, state);
      vm.onRelease(() => {
        known.delete(vm);
        if (lastVm === vm) lastVm = lastCalls = null;
        real?.release();
        tce.release();
      });
    }
    return state;
  }

  function callsOf(vm: Vm): TceHypercalls {
    if (vm === lastVm && lastCalls !== null) return lastCalls;
    lastVm = vm;
    lastCalls = stateOf(vm).calls;
    return lastCalls;
  }

  if (realMode) kvm.realMode = (vm) => stateOf(vm).real;

  kvm.capabilities.set(KVM_CAP_SPAPR_TCE, 1);
  if (profile.tce64) {
    kvm.capabilities.set(KVM_CAP_SPAPR_TCE_64, 1);
    kvm.capabilities.set(KVM_CAP_SPAPR_MULTITCE, 1);
  }
  if (profile.vfio) kvm.capabilities.set(KVM_CAP_SPAPR_TCE_VFIO, 1);

  const requests = kvmTceRequests(kernel.arch);
  kvm.vmIoctls.set(requests.KVM_CREATE_SPAPR_TCE, (vm, call) => createSpaprTce(call, stateOf(vm).tce, profile));
  if (profile.tce64) {
    kvm.vmIoctls.set(requests.KVM_CREATE_SPAPR_TCE_64, (vm, call) => createSpaprTce64(call, stateOf(vm).tce, profile));
  }

  const register = (nr: number, enabled: boolean, handle: HypercallHandler): void => {
    kvm.hypercalls.set(nr, { enabled, handle });
  };
  // Registers in halves: r4 is at 8 (low) and 9 (high), r5 at 10 and 11, r6 at 12 and 13, r7 at 14 and 15.
  register(H_PUT_TCE, true, (vm, r) =>
    callsOf(vm).putTce(at(r, 9), at(r, 8), at(r, 11), at(r, 10), at(r, 13), at(r, 12)),
  );
  if (profile.tce64) {
    register(H_GET_TCE, true, (vm, r) => {
      const calls = callsOf(vm);
      const result = calls.getTce(at(r, 9), at(r, 8), at(r, 11), at(r, 10));
      if (result === H_SUCCESS) {
        r[8] = calls.valueLo;
        r[9] = calls.valueHi;
      }
      return result;
    });
    register(H_PUT_TCE_INDIRECT, false, (vm, r) =>
      callsOf(vm).putTceIndirect(at(r, 9), at(r, 8), at(r, 11), at(r, 10), at(r, 13), at(r, 12), at(r, 15), at(r, 14)),
    );
    register(H_STUFF_TCE, false, (vm, r) =>
      callsOf(vm).stuffTce(at(r, 9), at(r, 8), at(r, 11), at(r, 10), at(r, 13), at(r, 12), at(r, 15), at(r, 14)),
    );
  }

  return {
    link: profile.vfio ? tceLink(iommu, (vm) => known.get(vm)?.tce ?? null, profile) : null,
    hypercalls: callsOf,
    counters: (vm) => stateOf(vm).tce.counters.snapshot(),
    record: (vm) => {
      const { tce } = stateOf(vm);
      tce.refresh();
      return tce.record;
    },
  };
}

/** Null: there is none. */
function realModeOf(profile: KvmTceProfile, pageSize: number, options: KvmSpaprTceOptions): RealModeRules | null {
  const { guestMmu = "radix", realMode = profile.realMode } = options;
  if (!realMode) return null;
  const { validate, goesOn, twoPasses } = profile;
  const punts = options.realMode === undefined && guestMmu === "radix";
  return { pageShift: Math.log2(pageSize), validate, goesOn, twoPasses, punts };
}

function at(registers: Uint32Array, half: number): number {
  return registers[half] as number;
}
