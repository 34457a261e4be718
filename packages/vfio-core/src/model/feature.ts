/**
 * VFIO_DEVICE_FEATURE: low power entry and exit, and the VF token of an SR-IOV physical function.
 *
 * Order: unreadable, argsz, unknown flags, GET with SET, unknown feature (ENOTTY), unsupported direction, PROBE ends
 * well here, neither GET nor SET, data too short, then the feature. Migration and DMA logging belong to variant
 * drivers, so they are unknown. Source: vfio_ioctl_device_feature, vfio_pci_core_ioctl_feature.
 */
import { EINVAL, ENOTTY } from "@minivmm/host";
import type { EventFd, IoctlCall } from "@minivmm/host/model";
import {
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  vfio_device_feature,
  vfio_device_low_power_entry_with_wakeup,
} from "../uapi.ts";
import { eventFdOf } from "./eventfd.ts";
import { UUID_SIZE, type VfToken } from "./vf-token.ts";

const ACTIONS = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PROBE;
const BOTH = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;

/** The user let the host power the device down; any access through the ABI wakes it for as long as it takes. */
export class LowPower {
  engaged = false;
  #wakeup: EventFd | null = null;

  enter(wakeup: EventFd | null): number {
    if (this.engaged) return -EINVAL;
    this.engaged = true;
    this.#wakeup = wakeup;
    return 0;
  }

  exit(): void {
    this.engaged = false;
    this.#wakeup = null;
  }

  /** The device is being used: with a wake-up eventfd this ends low power and tells. */
  resume(): void {
    if (!this.#wakeup) return;
    const wakeup = this.#wakeup;
    this.exit();
    wakeup.signal();
  }
}

export interface FeatureDevice {
  readonly lowPower: LowPower;
  /** An SR-IOV physical function has one. */
  readonly vfToken: VfToken | null;
}

interface Feature {
  /** Bytes of data that SET takes. */
  readonly size: number;
  set(device: FeatureDevice, call: IoctlCall): number;
}

/** All that plain vfio-pci has, by index; every one of them is SET only. */
const FEATURES: ReadonlyMap<number, Feature> = new Map<number, Feature>([
  [
    VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
    {
      size: UUID_SIZE,
      set(device, call) {
        device.vfToken?.set(call.arg.copyIn(UUID_SIZE, vfio_device_feature.size));
        return 0;
      },
    },
  ],
  [VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, { size: 0, set: (device) => device.lowPower.enter(null) }],
  [
    VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
    {
      size: vfio_device_low_power_entry_with_wakeup.size,
      set(device, call) {
        const type = vfio_device_low_power_entry_with_wakeup;
        const { wakeup_eventfd } = type.decode(call.arg.copyIn(type.size, vfio_device_feature.size));
        if (wakeup_eventfd < 0) return -EINVAL;
        return device.lowPower.enter(eventFdOf(call.process, wakeup_eventfd));
      },
    },
  ],
  [
    VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
    {
      size: 0,
      set(device) {
        device.lowPower.exit();
        return 0;
      },
    },
  ],
]);

export function deviceFeature(device: FeatureDevice, call: IoctlCall): number {
  const { argsz, flags } = vfio_device_feature.decode(call.arg.copyIn(vfio_device_feature.size));
  if (argsz < vfio_device_feature.size || flags & ~(VFIO_DEVICE_FEATURE_MASK | ACTIONS)) return -EINVAL;
  const probe = (flags & VFIO_DEVICE_FEATURE_PROBE) !== 0;
  if (!probe && (flags & BOTH) === BOTH) return -EINVAL;
  const index = flags & VFIO_DEVICE_FEATURE_MASK;
  const feature = FEATURES.get(index);
  if (!feature || (index === VFIO_DEVICE_FEATURE_PCI_VF_TOKEN && !device.vfToken)) return -ENOTTY;
  if (flags & VFIO_DEVICE_FEATURE_GET) return -EINVAL;
  if (probe) return 0;
  if (!(flags & VFIO_DEVICE_FEATURE_SET)) return -EINVAL;
  if (argsz - vfio_device_feature.size < feature.size) return -EINVAL;
  return feature.set(device, call);
}
