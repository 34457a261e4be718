/** Hot reset of VFIO PCI devices: ABI, client, and the plan of who is affected. */
export * from "./client/hot-reset.ts";
export * from "./client/plan.ts";
export * from "./error.ts";
export * from "./uapi.ts";
