// The kernel's side of the KVM-VFIO device, for modelled hosts.
export { KvmVfio, type SpaprTceLink } from "./device.ts";
export { installKvmVfio, type KvmVfioOptions } from "./install.ts";
