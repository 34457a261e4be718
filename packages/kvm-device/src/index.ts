// The KVM-VFIO pseudo-device: numbers, structs and a typed client.
export { KvmVfioDevice } from "./client/device.ts";
export { KvmDeviceError } from "./error.ts";
export * from "./uapi.ts";
