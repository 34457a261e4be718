// Real mode: hypercalls in compiled code.
export type { RealModeRules } from "./rules.ts";
export { TceRealMode } from "./stage.ts";
