// Whole modelled Linux hosts: from a plain description, or ready-made by name.
export { modelHostDescription } from "./catalog/index.ts";
export { POWER9_DISK } from "./catalog/power9.ts";
export type { DiskDescription, FunctionDescription, HostDescription } from "./description.ts";
export { ModelHostError } from "./error.ts";
export { Faults } from "./faults/index.ts";
export { type GivenDisk, type ModelHostOptions, ModelledHost, modelHost } from "./host.ts";
export { type ModelSpec, modelHostNames, parseModelSpec } from "./spec.ts";
export type { Variation } from "./variation.ts";
